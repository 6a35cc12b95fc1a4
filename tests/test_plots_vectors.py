"""Pictures of word vectors: the projection, and labels that leave each other alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from s2s.plots import vectors as plot
from s2s.plots import word_map

DRAW = np.random.default_rng(3)


def test_the_projection_keeps_what_varies_most() -> None:
    angles = np.array([0.0, 0.5, 1.0, 2.0])
    flat = np.stack([np.cos(angles), np.sin(angles)], 1)
    turn = np.linalg.qr(DRAW.normal(size=(5, 5)))[0][:2]
    points, share = plot.principal(flat @ turn * np.array([[1.0], [9.0], [0.1], [3.0]]))  # lengths do not count
    assert share == pytest.approx(1)
    distances = [np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (flat, points)]
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-9)
    again, _ = plot.principal(-(flat @ turn))
    np.testing.assert_allclose(again, points, atol=1e-9)  # an axis has one way to point


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (2, 2)])
def test_few_words_or_axes(shape: tuple[int, int]) -> None:
    points, share = plot.principal(np.ones(shape))
    assert points.shape == (shape[0], 2)
    assert not points.any()
    assert share == 0


def drawn(words: list[str], values: Any, marked: set[int], path: Path) -> list[Any]:
    """The labels of a picture."""
    kept = []

    def keep(figure: Any, place: Path) -> None:
        kept.append(figure)
        plot_save(figure, place)

    plot_save = plot.save
    with mock.patch.object(plot, "save", keep):
        word_map(path, words, values, marked=marked, title="words")
    return list(kept[0].axes[0].texts)


def test_labels_do_not_cover_each_other_and_marked_ones_come_first(tmp_path: Path) -> None:
    words = [f"word-{number}" for number in range(150)]
    labels = drawn(words, DRAW.normal(size=(150, 6)), {149}, tmp_path / "new" / "v.png")
    assert (tmp_path / "new" / "v.png").read_bytes().startswith(b"\x89PNG")
    assert 40 < len(labels) < 150
    assert labels[0].get_text() == "word-149"
    assert labels[0].get_color() == "tab:red"
    labels[0].figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for row, one in enumerate(boxes) for other in boxes[:row])


def test_odd_words(tmp_path: Path) -> None:
    labels = drawn(["$", "a$b$", "\\frac", "_{x}"], np.eye(4), set(), tmp_path / "v.png")
    assert len(labels) == 4
    drawn(["one"], np.ones((1, 3)), {0}, tmp_path / "one.png")
