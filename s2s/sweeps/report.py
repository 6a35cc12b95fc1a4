"""One report of a comparison: `report.md` with pictures beside it, `report.html` that needs nothing else, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.say import say
from s2s.errors import MissingExtraError
from s2s.evaluation import Picture, Table
from s2s.evaluation.pages import html_page, markdown_page
from s2s.sweeps import figures
from s2s.sweeps.plan import SEED, label
from s2s.sweeps.ran import best_of, first_beyond
from s2s.sweeps.summary import (
    Comparison,
    Group,
    failures_table,
    gradient_table,
    main_table,
    metric_label,
    scaled,
    scores_table,
    setting_label,
)
from s2s.training.files import write_atomically, write_text


def write_report(
    folder: Path, comparison: Comparison, known: Sequence[tuple[str, str]], console: Console
) -> list[Table]:
    """Everything into `folder`; returns the tables.

    Args:
        known: names and values for the head of the page.
    """
    tables = [main_table(comparison), scores_table(comparison), gradient_table(comparison), failures_table(comparison)]
    shown = [table for table in tables if table is not None]
    write_text(folder / "runs.csv", runs_csv(comparison))
    write_text(folder / "curves.csv", curves_csv(comparison))
    write_page(folder, comparison.title, known, shown, partial(pictures, comparison), console)
    return shown


def write_page(
    folder: Path,
    title: str,
    known: Sequence[tuple[str, str]],
    tables: Sequence[Table],
    draw: Callable[[], list[Picture]],
    console: Console,
) -> None:
    """`report.md`, `report.html` and the pictures that `draw` makes; a missing matplotlib is said, not fatal."""
    drawn: list[Picture] = []
    try:
        drawn = draw()
    except MissingExtraError as missing:
        say(console, f"no pictures: {missing}")
    for picture in drawn:
        write_atomically(folder / picture.name, partial(_write, picture.png))
    write_text(folder / "report.md", markdown_page(title, known, tables, drawn))
    write_text(folder / "report.html", html_page(title, known, tables, drawn))


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def pictures(comparison: Comparison) -> list[Picture]:
    """Curves of the metric, and of the loss where that is another: one picture a panel."""
    found = []
    for name in dict.fromkeys([comparison.metric, "loss"]):
        for number, (heading, groups, varying) in enumerate(panels(comparison), start=1):
            if picture := _panel(comparison, name, heading, groups, varying, number):
                found.append(picture)
    return found


def panels(comparison: Comparison) -> list[tuple[str, list[Group], list[str]]]:
    """What one picture shows: a heading, groups, and the keys that vary among them.

    Keys of `[data]` make pictures of their own, since other data has another scale; so do the first of the others while
    there are more curves than a picture holds.
    """
    sizes = {axis.key: len(axis.values) for axis in comparison.axes if axis.key != SEED and len(axis.values) > 1}
    other = {axis.key for axis in comparison.axes if any(key.startswith("data.") for key in axis.keys)}
    apart = [key for key in sizes if key in other]
    varying = [key for key in sizes if key not in apart]
    while len(varying) > 1 and prod(sizes[key] for key in varying) > figures.MOST_CURVES:
        apart.append(varying.pop(0))
    found = []
    values: dict[str, dict[str, Any]] = {}
    for group in comparison.groups:
        part = {key: group.setting[key] for key in apart}
        values[repr(part)] = part
    for part in values.values():
        groups = [group for group in comparison.groups if part.items() <= group.setting.items()]
        for some in _cut(groups, figures.MOST_CURVES):
            found.append((label(part), some, varying))
    return found


def _cut(groups: Sequence[Group], most: int) -> Iterable[list[Group]]:
    return (list(groups[first : first + most]) for first in range(0, len(groups), most))


def _panel(
    comparison: Comparison, name: str, heading: str, groups: Sequence[Group], varying: Sequence[str], number: int
) -> Picture | None:
    drawn = [(group, [_scaled(name, curve) for curve in group.curves(name)]) for group in groups]
    shown = [(group, curves) for group, curves in drawn if curves]
    if not shown:
        return None
    bands = [figures.Band(setting_label(group.setting, varying), curves) for group, curves in shown]
    others: list[figures.Other] = []
    threshold = until = None
    if name == comparison.metric:
        others = _others(comparison, [group for group, _ in shown])
        threshold = None if comparison.threshold is None else scaled(name, comparison.threshold.value)
        until = _until(comparison, bands, others)
    up = f"validation {metric_label(name)}"
    if name == "loss" and comparison.loss_unit:
        up += f", {comparison.loss_unit}"
    png = figures.bands(bands, others, label=up, title=heading, threshold=threshold, until=until)
    seeds = max(len(band.curves) for band in bands)
    caption = f"Validation {metric_label(name)} over updates{f', {heading}' if heading else ''}"
    caption += ": median and range (lowest to highest) of the runs that got so far" if seeds > 1 else ""
    return Picture(f"curves-{name.replace('_', '-')}-{number}.png", caption, png)


def _scaled(name: str, curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(step, scaled(name, value)) for step, value in curve]


def _others(comparison: Comparison, groups: Sequence[Group]) -> list[figures.Other]:
    """Published curves that belong to one of the groups."""
    found = []
    for curve in comparison.published:
        matching = [place for place, group in enumerate(groups) if curve.where.items() <= group.setting.items()]
        if matching:
            points = _scaled(comparison.metric, curve.points)
            found.append(figures.Other(curve.label, points, matching[0] if len(matching) == 1 else None))
    return found


def _until(comparison: Comparison, bands: Sequence[figures.Band], others: Sequence[figures.Other]) -> int | None:
    """The last update shown: ours, or where published curves get to the threshold, if that is later."""
    if not others or comparison.threshold is None:
        return None
    rule = comparison.threshold
    reached = [
        first_beyond(comparison.metric, other.points, scaled(comparison.metric, rule.value), rule.consecutive)
        for other in others
    ]
    if None in reached:
        return None
    ours = [curve[-1][0] for band in bands for curve in band.curves]
    return int(1.1 * max([*ours, *(step for step in reached if step is not None)]))


def curves_csv(comparison: Comparison) -> str:
    """One line a validation: where the run stands in the grid, then the line of `metrics.jsonl`."""
    keys = [axis.key for axis in comparison.axes]
    rows = [
        {"run": one.name, **one.values, **{name: value for name, value in row.items() if name != "event"}}
        for group in comparison.groups
        for one, ran in group.members
        for row in ran.validations
    ]
    return _csv(["run", *keys], rows)


def runs_csv(comparison: Comparison) -> str:
    """One line a run: where it stands in the grid, what it reached and what it cost; test scores as they are."""
    metric, threshold = comparison.metric, comparison.threshold
    rows = []
    for group in comparison.groups:
        for one, ran in group.members:
            curve = ran.curve(metric)
            row: dict[str, Any] = {"run": one.name, **one.values, "state": ran.state, "parameters": ran.parameters}
            if threshold is not None:
                row["updates_to_threshold"] = first_beyond(metric, curve, threshold.value, threshold.consecutive)
            row[f"best_{metric}"] = best_of(metric, [value for _, value in curve])
            row[f"final_{metric}"] = curve[-1][1] if curve else None
            row |= {"seconds": ran.seconds, "peak_mib": ran.peak_mib}
            row |= {f"test_{name}": value for name, value in ran.scores.items() if isinstance(value, (int, float))}
            rows.append(row | {"why": ran.why})
    return _csv(["run"], rows)


def _csv(first: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    names = list(dict.fromkeys([*first, *(name for row in rows for name in row)]))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
