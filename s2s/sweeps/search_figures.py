"""Pictures of a study: how it went, which keys decide, what each value gave, and the curves of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s2s.plots.figure import new_figure
from s2s.sweeps.figures import COLOURS, png, tidy

_ACROSS = 3
_GREY = "0.55"


@dataclass(frozen=True)
class Point:
    """A trial as it is drawn.

    Attributes:
        value: the best one of a complete trial; of a pruned one, the last before it was stopped.
        curve: one value a validation.
    """

    number: int
    value: float
    pruned: bool
    values: Mapping[str, Any]
    curve: Sequence[float]


def history(points: Sequence[Point], label: str, *, lower: bool) -> bytes:
    """Every trial's value, and the best one so far.

    Raises:
        MissingExtraError: matplotlib is not installed. (So do the others.)
    """
    figure = new_figure(6.8, 3.8)
    axes = figure.add_subplot()
    _scatter(axes, [(point.number, point) for point in points])
    best = _best_so_far(points, lower=lower)
    axes.plot(*zip(*best, strict=True), drawstyle="steps-post", color=COLOURS[1], lw=1.4, label="best so far")
    tidy(axes, [point.value for point in points])
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation {label}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return png(figure)


def _best_so_far(points: Sequence[Point], *, lower: bool) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for point in points:
        values = [value for _, value in found[-1:]] + ([] if point.pruned else [point.value])
        if values:
            found.append((point.number, (min if lower else max)(values)))
    return found


def _scatter(axes: Any, placed: Sequence[tuple[Any, Point]]) -> None:
    for pruned, look in (
        (False, {"marker": "o", "s": 26, "color": COLOURS[0], "label": "complete"}),
        (True, {"marker": "x", "s": 26, "color": _GREY, "label": "pruned (its last value)"}),
    ):
        some = [(place, point.value) for place, point in placed if point.pruned == pruned]
        if some:
            axes.scatter(*zip(*some, strict=True), zorder=3, **look)


def importances(shares: Mapping[str, float]) -> bytes:
    """Bars, the longest on top."""
    figure = new_figure(6.8, 0.9 + 0.34 * len(shares))
    axes = figure.add_subplot()
    ordered = sorted(shares.items(), key=lambda item: item[1])
    bars = axes.barh([key for key, _ in ordered], [100 * share for _, share in ordered], color=COLOURS[0], height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=9)
    axes.set_xlim(0, 112)
    axes.set_xlabel("importance, % of what the keys decide")
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def slices(points: Sequence[Point], keys: Mapping[str, bool], label: str) -> bytes:
    """One panel a key: what each of its values gave.

    Args:
        keys: each with whether it is drawn on a logarithmic scale.
    """
    rows = -(-len(keys) // _ACROSS)
    columns = min(_ACROSS, len(keys))
    figure = new_figure(1.0 + 2.4 * columns, 0.6 + 2.6 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (key, log) in zip(grid.flat, keys.items(), strict=False):
        _scatter(axes, [(_drawn(point.values[key]), point) for point in points])
        tidy(axes, [point.value for point in points])
        if log:
            axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set_xlabel(key, fontsize=9)
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(f"validation {label}", fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return png(figure)


def _drawn(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def curves(points: Sequence[Point], label: str, *, best: int) -> bytes:
    """Every trial's validations; the best trial's stand out."""
    figure = new_figure(6.8, 3.8)
    axes = figure.add_subplot()
    named: set[str] = set()
    for point in sorted(points, key=lambda point: (point.number == best, not point.pruned)):
        name, look = _line(point, best)
        label_once = None if name in named else name
        named.add(name)
        axes.plot(range(1, len(point.curve) + 1), point.curve, label=label_once, **look)
    tidy(axes, [value for point in points for value in point.curve])
    axes.set_xlabel("validation")
    axes.set_ylabel(f"validation {label}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return png(figure)


def _line(point: Point, best: int) -> tuple[str, dict[str, Any]]:
    if point.number == best:
        return f"trial {best}, the best", {"color": COLOURS[1], "lw": 1.8, "marker": "s", "ms": 4}
    if point.pruned:
        return "pruned", {"color": _GREY, "lw": 0.9, "ls": "--", "marker": "x", "ms": 4}
    return "complete", {"color": COLOURS[0], "lw": 0.9, "marker": "o", "ms": 3}
