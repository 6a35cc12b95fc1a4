"""What is searched for: a base recipe, a space of values, a metric; checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from s2s.build.words import find_recipe, find_study
from s2s.config import Config, Metric
from s2s.config.io import check, merge
from s2s.errors import UserError
from s2s.metrics import LOWER_IS_BETTER
from s2s.sweeps.axes import flat, nested, read_words
from s2s.sweeps.plan import base_tree, label
from s2s.sweeps.spec import Choices, Entry, Pruner, Space, TuneFile, checked, read_file


@dataclass(frozen=True)
class Goal:
    """A search.

    Attributes:
        name: of the study.
        path: its file.
        tree: the recipe with the fixed keys and the metric.
        space: what is drawn, by dotted key.
        trials: how many in all.
        seed: of the draws.
    """

    name: str
    path: Path
    base: str
    tree: Mapping[str, Any]
    space: Mapping[str, Entry]
    metric: str
    trials: int
    seed: int
    pruner: Pruner

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        return "minimize" if self.metric in LOWER_IS_BETTER else "maximize"

    def config(self, values: Mapping[str, Any]) -> Config:
        """The configuration of a trial.

        Raises:
            UserError: the values do not go together.
        """
        return check(merge(self.tree, nested(values)), label(values))

    def identity(self) -> dict[str, Any]:
        """What a study can't change on its way, as dotted keys."""
        tree = check(self.tree, self.base).model_dump(mode="json")
        fixed = {key: value for key, value in flat(tree, self.base).items() if key not in self.space}
        space = {f"space.{key}": entry.model_dump() for key, entry in self.space.items()}
        return {"metric": self.metric, **space, **fixed}


def read_goal(words: Sequence[str]) -> Goal:
    """`SPACE.toml key=value`; keys on the command line win over [fixed].

    Raises:
        UserError: whatever is wrong with file, keys, bounds or metric.
    """
    given = read_words(words)
    if len(given.inputs) != 1:
        raise UserError(f"expected one study or TOML file with a [space], got {' '.join(given.inputs) or 'none'}")
    if given.axes:
        raise UserError(f"{given.axes[0].key}: several values; expected one, or an entry of [space] with choices")
    path = find_study(given.inputs[0])
    file = read_file(path, TuneFile)
    fixed = {**flat(file.fixed, str(path)), **given.fixed}
    drawn = flat(file.space, str(path), leaf=lambda table: "type" in table)
    space = checked({"entries": drawn}, Space, f"{path} [space]").entries
    if both := [key for key in space if key in fixed]:
        raise UserError(f"{path}: {both[0]} is fixed and in [space]; expected it in one of them")
    tree = base_tree(file.base, fixed)
    metric = file.metric or check(tree, file.base).training.metric
    _check_metric(metric, path)
    goal = Goal(
        name=path.stem,
        path=path,
        base=find_recipe(file.base).stem,
        tree=merge(tree, {"training": {"metric": metric}}),
        space=space,
        metric=metric,
        trials=file.trials,
        seed=file.seed,
        pruner=file.pruner,
    )
    _check_ends(goal)
    return goal


def _check_metric(metric: str, path: Path) -> None:
    import difflib

    known = get_args(Metric)
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        raise UserError(f"{path}: metric = {metric!r} is no metric of validation; {hint}")


def _check_ends(goal: Goal) -> None:
    """The configuration at both ends of each range and for each choice, other keys at their first value."""
    ends = {key: _ends(entry) for key, entry in goal.space.items()}
    first = {key: values[0] for key, values in ends.items()}
    problems = []
    for key, values in ends.items():
        for value in values:
            try:
                goal.config({**first, key: value})
            except UserError as error:
                problems.append(str(error))
    if problems:
        count = f"{len(problems)} ends of the space are no configuration; " if len(problems) > 1 else ""
        raise UserError(f"{count}nothing was started. {problems[0]}")


def _ends(entry: Entry) -> list[Any]:
    return list(entry.choices) if isinstance(entry, Choices) else [entry.low, entry.high]
