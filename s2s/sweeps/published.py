"""Curves that others published: a CSV file with the columns task, model, iteration, test_cost, test_accuracy."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.errors import UserError
from s2s.metrics import LOWER_IS_BETTER
from s2s.sweeps.axes import flat
from s2s.sweeps.spec import Published

COLUMNS = ("task", "model", "iteration", "test_cost", "test_accuracy")


@dataclass(frozen=True)
class Curve:
    """A published curve; `where` says which settings of the grid it belongs to."""

    label: str
    where: Mapping[str, Any]
    points: list[tuple[int, float]]


def read_curves(published: Published, metric: str) -> list[Curve]:
    """The curves that are wanted: the cost for a metric of which less is better, else the accuracy.

    Raises:
        UserError: no such file, other columns, a cell that is no number, a curve that is not there.
    """
    column = "test_cost" if metric in LOWER_IS_BETTER else "test_accuracy"
    known = _read(Path(published.file), column)
    found = []
    for wanted in published.curves:
        points = known.get((wanted.task, wanted.model))
        if not points:
            there = ", ".join(f"{task}/{model}" for (task, model), rows in known.items() if rows)
            raise UserError(
                f"{published.file}: no {column} of task {wanted.task!r} and model {wanted.model!r}; there are {there}"
            )
        found.append(Curve(f"{wanted.model} (published)", flat(wanted.where, "where"), points))
    return found


def _read(path: Path, column: str) -> dict[tuple[str, str], list[tuple[int, float]]]:
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
                raise UserError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
            for row in reader:
                points = curves.setdefault((row["task"], row["model"]), [])
                if row[column]:
                    points.append((int(row["iteration"]), float(row[column])))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}. Check published.file") from None
    except ValueError as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; expected numbers") from None
    return curves
