"""What a study found: tables, pictures, CSV, and the best configuration as a recipe."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from s2s.build.say import say
from s2s.config.io import dump
from s2s.errors import UserError
from s2s.evaluation import Picture, Table
from s2s.metrics import LOWER_IS_BETTER
from s2s.sweeps import search_figures
from s2s.sweeps.plan import shown
from s2s.sweeps.report import write_page
from s2s.sweeps.search_figures import Point
from s2s.sweeps.spec import Choices
from s2s.sweeps.study import Study, first_number
from s2s.sweeps.summary import metric_label, scaled
from s2s.training.files import write_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def write_findings(folder: Path, study: Study, known: Sequence[tuple[str, str]], console: Console) -> list[Table]:
    """Report, `trials.csv` and `best.toml`; returns the tables.

    Raises:
        UserError: no trial is complete.
    """
    goal, trials = study.goal, study.trials()
    lower = goal.metric in LOWER_IS_BETTER
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    write_text(folder / "trials.csv", _csv(trials))
    if not complete:
        raise UserError(
            f"{folder}: none of {len(trials)} trials is complete, so nothing can be said; `trials.csv` there tells why."
            " Narrow [space], or raise trials"
        )
    best = sorted(complete, key=lambda trial: trial.value or 0.0, reverse=not lower)[0]
    value = f"{metric_label(goal.metric)} {scaled(goal.metric, best.value or 0.0):.4g}"
    header = [f"best of {len(trials)} trials ({first_number(best)}): {value}", "train it with: s2s train best.toml"]
    write_text(folder / "best.toml", dump(goal.config(best.params), header=header))
    tables = [_best_table(best, value), _trials_table(trials, goal.metric, lower=lower)]
    counts = ", ".join(f"{_count(trials, state):,} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAIL"))
    facts = [("Recipe", goal.base), ("Trials", counts), ("Best", value), *known]
    write_page(
        folder, f"Search on {goal.base}", facts, tables, partial(_pictures, study, trials, best, lower=lower), console
    )
    say(console, f"report: {folder / 'report.html'}; the best configuration: s2s train {folder / 'best.toml'}")
    return tables


def _count(trials: Sequence[FrozenTrial], state: str) -> int:
    return sum(trial.state.name == state for trial in trials)


def _best_table(best: FrozenTrial, value: str) -> Table:
    rows = [[key, _short(one)] for key, one in best.params.items()]
    return Table("Best", ["key", "value"], rows, f"Trial {first_number(best)}: {value}, in {_seconds(best)} s.")


def _trials_table(trials: Sequence[FrozenTrial], metric: str, *, lower: bool) -> Table:
    """The best first, those without a value last."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    worst = float("inf") if lower else float("-inf")

    def order(trial: FrozenTrial) -> tuple[bool, float]:
        value = worst if trial.value is None else trial.value
        return trial.state.name != "COMPLETE", value if lower else -value

    rows = [
        [
            str(first_number(trial)),
            _state(trial),
            "-" if trial.value is None else f"{scaled(metric, trial.value):.4g}",
            _seconds(trial),
            *(_short(trial.params[key]) if key in trial.params else "-" for key in keys),
        ]
        for trial in sorted(trials, key=order)
    ]
    note = "Of a pruned trial the value is the last before it was stopped; seconds are of training and validation."
    return Table("Trials", ["trial", "state", metric_label(metric), "seconds", *keys], rows, note)


def _state(trial: FrozenTrial) -> str:
    name = {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
    why = trial.user_attrs.get("why", "")
    return f"{name}: {why}" if why else name


def _seconds(trial: FrozenTrial) -> str:
    seconds = trial.user_attrs.get("seconds")
    return "-" if seconds is None else f"{seconds:.0f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _pictures(study: Study, trials: Sequence[FrozenTrial], best: FrozenTrial, *, lower: bool) -> list[Picture]:
    goal = study.goal
    valued = [trial for trial in trials if trial.value is not None and trial.value == trial.value]
    points = [_point(trial, goal.metric) for trial in sorted(valued, key=first_number)]
    label, winner = metric_label(goal.metric), first_number(best)
    keys = {key: not isinstance(entry, Choices) and entry.log for key, entry in goal.space.items()}
    found = [
        Picture("history.png", "Every trial, and the best so far", search_figures.history(points, label, lower=lower)),
        Picture("slices.png", "What each value of a key gave", search_figures.slices(points, keys, label)),
        Picture("curves.png", "Validations of every trial", search_figures.curves(points, label, best=winner)),
    ]
    if shares := study.importances():
        caption = "Importance of the keys among complete trials (PED-ANOVA)"
        found.insert(1, Picture("importances.png", caption, search_figures.importances(shares)))
    return found


def _point(trial: FrozenTrial, metric: str) -> Point:
    curve = [scaled(metric, value) for _, value in sorted(trial.intermediate_values.items())]
    value = scaled(metric, trial.value or 0.0)
    return Point(first_number(trial), value, trial.state.name == "PRUNED", trial.params, curve)


def _csv(trials: Sequence[FrozenTrial]) -> str:
    rows = [
        {
            "trial": first_number(trial),
            "state": trial.state.name.lower(),
            "value": trial.value,
            "seconds": trial.user_attrs.get("seconds"),
            **trial.params,
            "why": trial.user_attrs.get("why", ""),
        }
        for trial in trials
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
