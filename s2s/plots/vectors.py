"""Word vectors in two dimensions."""

# N words, E numbers of a vector

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from s2s.plots.figure import new_figure, save

_PLACES = ((3, 0, "left", "center"), (-3, 0, "right", "center"), (0, 3, "center", "bottom"), (0, -3, "center", "top"))
"""Where a label may stand beside its point: points across and up, and how it is aligned."""


def word_map(
    path: Path | IO[bytes],
    words: Sequence[str],
    values_NE: npt.NDArray[np.floating[Any]],
    *,
    marked: Collection[int] = (),
    title: str = "",
) -> None:
    """Words as points: those that lie in one direction from zero lie close together.

    The directions of the vectors are projected on their two main axes (`principal`). Every word has a point; labels are
    set in the order of the words, marked ones first, where there is room.

    Args:
        path: PNG to write, or an open file.
        words: the most important first.
        values_NE: their vectors.
        marked: rows of words that are drawn in colour.
        title: above it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(8.0, 6.4)
    axes = figure.add_subplot()
    points_N2, share = principal(values_NE)
    order = sorted(range(len(words)), key=lambda row: row not in marked)
    colours = ["tab:red" if row in marked else "0.65" for row in range(len(words))]
    axes.scatter(points_N2[:, 0], points_N2[:, 1], s=5, c=colours, linewidths=0)
    axes.margins(0.06)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"first two principal axes of the words' directions ({100 * share:.0f} % of their variance)")
    axes.set_title(title, fontsize=10)
    figure.canvas.draw()  # sizes and places are known from here on, and stay
    figure.set_layout_engine("none")
    _label(axes, [(words[row], points_N2[row], row in marked) for row in order])
    save(figure, path)


def principal(values_NE: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.float64], float]:
    """(N, 2): vectors at length one, less their mean, on the two axes of largest variance; and its share of all.

    An axis points where its largest coordinate is positive, so that the same vectors give the same picture. Where there
    are less than two axes the rest is zero.
    """
    values_NE = np.asarray(values_NE, np.float64)
    lengths_N1 = np.linalg.norm(values_NE, axis=1, keepdims=True)
    directions_NE = values_NE / np.where(lengths_N1 > 0, lengths_N1, 1.0)
    left_NK, scale_K, _ = np.linalg.svd(directions_NE - directions_NE.mean(0), full_matrices=False)
    points_NK = left_NK * scale_K
    points_N2 = np.zeros((len(values_NE), 2))
    points_N2[:, : points_NK.shape[1]] = points_NK[:, :2]
    peaks_2 = points_N2[np.abs(points_N2).argmax(0), [0, 1]]
    total = float((scale_K**2).sum())
    return points_N2 * np.where(peaks_2 < 0, -1, 1), float((scale_K[:2] ** 2).sum()) / total if total else 0.0


def _label(axes: Any, words: Sequence[tuple[str, npt.NDArray[np.float64], bool]]) -> None:
    """Labels beside points, those that would cover another one left out."""
    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    for word, point_2, marked in words:
        text = word.replace("$", r"\$")
        for across, up, side, level in _PLACES:
            label = axes.annotate(
                text,
                point_2,
                xytext=(across, up),
                textcoords="offset points",
                ha=side,
                va=level,
                fontsize=8 if marked else 7,
                color="tab:red" if marked else "0.1",
            )
            box = label.get_window_extent(renderer).padded(1)  # a file's pixels are rounded otherwise
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()
