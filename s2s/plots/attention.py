"""Attention maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from s2s.plots.figure import new_figure, save


def attention_map(
    path: Path | IO[bytes],
    source: Sequence[str],
    target: Sequence[str],
    weights: Sequence[Sequence[float]],
    *,
    title: str = "",
) -> None:
    """Where each written piece looked: source across, target down, dark is much.

    Args:
        path: PNG to write, or an open file.
        source: pieces across.
        target: pieces down.
        weights: one row a target piece, one column a source piece.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(max(3.0, 0.32 * len(source) + 1.2), max(2.2, 0.32 * len(target) + 1.2))
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Greys", vmin=0.0, vmax=1.0, aspect="equal", interpolation="nearest")
    axes.set_xticks(range(len(source)), [_visible(piece) for piece in source], rotation=90 if _wide(source) else 0)
    axes.set_yticks(range(len(target)), [_visible(piece) for piece in target])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source")
    axes.set_ylabel("written")
    axes.tick_params(length=0)
    if title:
        axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="attention weight", fraction=0.03, pad=0.02, shrink=0.7)
    save(figure, path)


def _visible(piece: str) -> str:
    return "␣" if piece == " " else piece.replace("$", r"\$")


def _wide(pieces: Sequence[str]) -> bool:
    return any(len(piece) > 2 for piece in pieces)
