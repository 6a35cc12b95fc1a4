"""How the gradient fares on its way back through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from s2s.plots.figure import new_figure, save


def gradient_reach(
    path: Path | IO[bytes], curves: Mapping[str, Sequence[tuple[int, float]]], *, title: str = ""
) -> None:
    """The gradient's norm over the distance in time, one line a name, on a logarithmic scale.

    Args:
        path: PNG to write, or an open file.
        curves: distance in steps and norm; what is zero is not drawn.
        title: above it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(curves.items()):
        shown = [(distance, norm) for distance, norm in points if norm > 0]
        style = ("-", "--", "-.", ":")[number % 4]
        axes.plot(*zip(*shown, strict=True), style, label=name) if shown else None
    axes.set_yscale("log")
    axes.set_xlabel("steps between what is read and the answer")
    axes.set_ylabel("norm of the gradient")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    if title:
        axes.set_title(title, fontsize=10)
    save(figure, path)
