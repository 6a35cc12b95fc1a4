"""Curves with bands, readable in print: colours that differ in grey too, lines of unlike strokes, labels and units."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s2s.plots.figure import new_figure, save

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Of Okabe and Ito, which people with any kind of colour vision tell apart; the yellow is left out on white paper."""
_STROKES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)), (0, (1, 3)))
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_CURVES = len(COLOURS)
"""That one picture can hold."""

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Band:
    """Curves of one setting: their median, and the range from the lowest to the highest."""

    label: str
    curves: Sequence[Points]


@dataclass(frozen=True)
class Other:
    """A curve of others, drawn thin in the colour of the band that it belongs to (grey where there is none)."""

    label: str
    points: Points
    band: int | None


def middle(curves: Sequence[Points]) -> list[tuple[int, float, float, float]]:
    """Step, median, lowest and highest value at every step, over the curves that have it."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in curve:
            at.setdefault(step, []).append(value)
    return [(step, statistics.median(found), min(found), max(found)) for step, found in sorted(at.items())]


def bands(
    drawn: Sequence[Band],
    others: Sequence[Other] = (),
    *,
    label: str,
    title: str = "",
    threshold: float | None = None,
    until: int | None = None,
) -> bytes:
    """Learning curves with a band over the seeds, as a PNG.

    Args:
        drawn: at most `MOST_CURVES`.
        others: curves to compare with.
        label: of the axis up, with its unit.
        threshold: a level that is marked.
        until: the last update shown.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(6.8, 4.2)
    axes = figure.add_subplot()
    for place, band in enumerate(drawn):
        steps, medians, lows, highs = zip(*middle(band.curves), strict=True)
        look = _look(place, len(steps))
        if len(band.curves) > 1:
            axes.fill_between(steps, lows, highs, color=look["color"], alpha=0.18, linewidth=0)
        runs = f" ({len(band.curves)} runs)" if len(band.curves) > 1 else ""
        axes.plot(steps, medians, label=f"{band.label}{runs}", **look)
    for other in others:
        colour = "0.45" if other.band is None else COLOURS[other.band]
        points = [(step, value) for step, value in other.points if until is None or step <= until]
        axes.plot(*zip(*points, strict=True), color=colour, lw=0.7, alpha=0.75, label=other.label)
    tidy(axes, [value for band in drawn for curve in band.curves for _, value in curve])
    if threshold is not None:
        axes.axhline(threshold, color="0.3", lw=0.8, ls=(0, (2, 2)), label=f"threshold {threshold:g}")
    axes.set_xlabel("updates")
    axes.set_ylabel(label)
    axes.set_xlim(left=0, right=until)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if title:
        axes.set_title(title, fontsize=10)
    banded = any(len(band.curves) > 1 for band in drawn)
    figure.legend(
        loc="outside lower center",
        ncols=3 if len(drawn) + len(others) < 3 else 2,
        frameon=False,
        fontsize=9,
        title="line: median of the runs; band: from the lowest to the highest" if banded else None,
        title_fontsize=9,
    )
    return png(figure)


def _look(place: int, points: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place],
        "ls": _STROKES[place],
        "marker": _MARKS[place],
        "ms": 4,
        "lw": 1.4,
        "markevery": max(1, points // 12),
    }


def tidy(axes: Any, values: Sequence[float]) -> None:
    """A quiet grid, and a logarithmic scale where values lie decades apart."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low > 0 and high / low > 30:
        axes.set_yscale("log")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: Any) -> bytes:
    """The picture as bytes."""
    drawn = io.BytesIO()
    save(figure, drawn)
    return drawn.getvalue()
