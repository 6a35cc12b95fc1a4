"""What the units of a layer do over time: states and gates as maps, time down and units across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from s2s.plots.figure import new_figure, save

_SMALL = 40  # rows or columns up to which a cell is drawn as a square that can be told from the next


@dataclass(frozen=True)
class Panel:
    """One map.

    Attributes:
        title: what is shown, such as "state" or "forget gate".
        values: (T, units).
        signed: from -1 to 1 around white; otherwise from 0 (white) up.
        top: the value from which on it is darkest; None: the largest, and 1 at least.
    """

    title: str
    values: npt.NDArray[np.floating[Any]]
    signed: bool = False
    top: float | None = None


def state_map(
    path: Path | IO[bytes],
    panels: Sequence[Panel],
    *,
    events: Mapping[str, int] | None = None,
    steps: Sequence[str] | None = None,
    title: str = "",
    sort: bool = False,
) -> None:
    """Maps side by side over the same time axis.

    Args:
        path: PNG to write, or an open file.
        panels: one or more maps of equally many steps.
        events: name of an event: the step before which a line is drawn across, as "the length is half of the maximum".
        steps: what each step reads (characters, digits), written at the axis where there is room.
        title: above all maps.
        sort: order the units of each map by when they change most, which shows a switch as an edge.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: no map, or maps of different lengths.
    """
    lengths = {len(panel.values) for panel in panels}
    if len(lengths) != 1:
        raise ValueError(f"maps of one time axis, got lengths {sorted(lengths)}")
    widths = [_width(panel) for panel in panels]
    figure = new_figure(sum(widths) + 1.0, min(8.0, max(3.0, 0.16 * lengths.pop() + 1.5)))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw(figure, axes, panel, sort=sort)
        for number, step in enumerate((events or {}).values()):
            axes.axhline(step - 0.5, color=_line(number), linewidth=1.2, linestyle=_dash(number))
    grid[0].set_ylabel("time (steps)")
    _name_steps(grid[0], len(panels[0].values), steps)
    if events:
        _legend(figure, events)
    if title:
        figure.suptitle(title, fontsize=10)
    save(figure, path)


def order_by_change(values_TU: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """Units by the step of their largest change, then by which way it goes."""
    change_TU = np.diff(values_TU, axis=0)
    if not len(change_TU):
        return np.arange(values_TU.shape[1])
    at_U = np.abs(change_TU).argmax(0)
    way_U = np.take_along_axis(change_TU, at_U[None], 0)[0]
    return np.lexsort((way_U, at_U))


def _width(panel: Panel) -> float:
    units: int = panel.values.shape[1]
    return min(5.0, max(2.2, 0.05 * units + 1.2))


def _draw(figure: Any, axes: Any, panel: Panel, *, sort: bool) -> None:
    values = panel.values[:, order_by_change(panel.values)] if sort else panel.values
    top = panel.top or max(1.0, float(np.abs(values).max(initial=0.0)))
    low, colours = (-top, "RdBu_r") if panel.signed else (0.0, "Greys")
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=top, aspect="auto", interpolation="nearest")
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel("units, by when they change" if sort else "unit")
    if max(values.shape) <= _SMALL:
        axes.set_xticks(range(0, values.shape[1], max(1, values.shape[1] // 10)))
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03, shrink=0.8)


def _name_steps(axes: Any, count: int, steps: Sequence[str] | None) -> None:
    if steps is not None and count <= _SMALL:
        names = ["␣" if step == " " else step.replace("$", r"\$") for step in steps]
        axes.set_yticks(range(count), names, fontsize=7)


def _legend(figure: Any, events: Mapping[str, int]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=_line(number), linestyle=_dash(number), label=f"{name} (step {step:,})")
        for number, (name, step) in enumerate(events.items())
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(3, len(lines)), frameon=False, fontsize=8)


def _line(number: int) -> str:
    return ("black", "tab:green", "tab:purple", "tab:orange")[number % 4]


def _dash(number: int) -> Literal["-", "--", "-.", ":"]:
    dashes: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
    return dashes[number % 4]
