"""Pictures: there, of a size, and with ink that follows the numbers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from s2s.errors import MissingExtraError, UserError
from s2s.plots import attention_map, learning_curve

ROWS: list[dict[str, Any]] = [
    {"event": "train", "step": 1, "loss": 3.0},
    {"event": "train", "step": 50, "loss": 2.0},
    {"event": "valid", "step": 50, "loss": 2.2, "exact_match": 0.1},
    {"event": "valid", "step": 100, "loss": 1.2, "exact_match": 0.6, "bleu": 3.0},
]


def pixels(path: Path) -> Any:
    from matplotlib.image import imread

    return imread(path)


def size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_attention_map_darkens_where_the_weight_is(tmp_path: Path) -> None:
    pieces = list("abcdefgh")
    falling = [[1.0 if i == j else 0.0 for j in range(8)] for i in range(8)]
    attention_map(tmp_path / "new" / "falling.png", pieces, pieces, falling, title="falling")
    attention_map(tmp_path / "rising.png", pieces, pieces, falling[::-1], title="falling")
    width, height = size(tmp_path / "new" / "falling.png")
    assert width > 300
    assert height > 300
    first, second = pixels(tmp_path / "new" / "falling.png"), pixels(tmp_path / "rising.png")
    assert first.shape == second.shape
    assert (first != second).any()
    dark = (first[..., :3].sum(-1) < 0.3).mean()
    assert 0.03 < dark < 0.5  # eight black cells and some text on white


def test_odd_pieces_and_long_sources(tmp_path: Path) -> None:
    source = [" ", "$", "a$b$", "\\frac", "<unk>", "_{x}", "</s>"] * 8
    attention_map(tmp_path / "a.png", source, ["$x$", "</s>"], [[1 / len(source)] * len(source)] * 2)
    assert size(tmp_path / "a.png")[0] > 2000
    attention_map(tmp_path / "b.png", ["a"], ["</s>"], [[1.0]])
    assert size(tmp_path / "b.png")[0] >= 300


@pytest.mark.parametrize("metric", ["loss", "exact_match", "bleu", "chrf"])
def test_learning_curve(tmp_path: Path, metric: str) -> None:
    learning_curve(tmp_path / "curve.png", ROWS, metric=metric, title="a run")
    assert size(tmp_path / "curve.png")[0] > 800
    picture = pixels(tmp_path / "curve.png")
    assert len({tuple(pixel) for pixel in picture.reshape(-1, picture.shape[-1])[::7].tolist()}) > 10


def test_learning_curve_shows_what_changed(tmp_path: Path) -> None:
    learning_curve(tmp_path / "a.png", ROWS, metric="loss")
    learning_curve(tmp_path / "b.png", [*ROWS, {"event": "valid", "step": 150, "loss": 0.2}], metric="loss")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_learning_curve_of_a_run_that_just_began(tmp_path: Path) -> None:
    learning_curve(tmp_path / "empty.png", [], metric="bleu")
    assert size(tmp_path / "empty.png")[0] > 800


def test_without_matplotlib_the_pip_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 's2s\[plot\]'") as caught:
        attention_map(tmp_path / "x.png", ["a"], ["b"], [[1.0]])
    assert isinstance(caught.value, UserError)
    with pytest.raises(MissingExtraError, match="needs matplotlib"):
        learning_curve(tmp_path / "x.png", ROWS, metric="loss")
    assert not (tmp_path / "x.png").exists()
