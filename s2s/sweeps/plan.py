"""What is compared: a base recipe, fixed keys, a grid; and every run of it, checked before anything starts."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.build.words import find_recipe, find_study
from s2s.config import Config
from s2s.config.io import check, merge, read_toml
from s2s.errors import UserError
from s2s.sweeps.axes import Axis, flat, nested, read_grid, read_sets, read_words
from s2s.sweeps.spec import CompareFile, Published, Threshold, read_file

SEED = "training.seed"
"""The axis that a result is averaged over."""
_LONGEST = 120


@dataclass(frozen=True)
class Plan:
    """A grid over a recipe.

    Attributes:
        name: of the study or recipe.
        base: the recipe, a name or a path.
        fixed: dotted keys that hold for every run.
        axes: the keys that vary.
    """

    name: str
    base: str
    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]
    threshold: Threshold | None = None
    published: Published | None = None


@dataclass(frozen=True)
class Combination:
    """One run: its name, where it stands in the grid, and its whole configuration."""

    name: str
    values: Mapping[str, Any]
    config: Config

    @property
    def setting(self) -> dict[str, Any]:
        """Where it stands, the seed aside."""
        return {key: value for key, value in self.values.items() if key != SEED}


def read_plan(words: Sequence[str], threshold: Threshold | None = None) -> Plan:
    """`RECIPE key=value key=value,value`, or a grid (study or `GRID.toml`) with words that win over what it says.

    Raises:
        UserError: no recipe or several, a file that is wrong, nothing that varies.
    """
    given = read_words(words)
    if len(given.inputs) != 1:
        raise UserError(
            f"expected one recipe or file with a grid, got {len(given.inputs)}: {' '.join(given.inputs)}. Such as"
            " `s2s compare date-attention model.core=lstm,gru training.seed=1,2`"
        )
    path = find_study(given.inputs[0])
    if not _is_grid(path):
        plan = Plan(path.stem, given.inputs[0], given.fixed, given.axes, threshold)
    else:
        plan = _from_file(path, given.fixed, given.axes, threshold)
    decided = [*plan.fixed, *(key for axis in plan.axes for key in axis.keys)]
    if both := [key for key in dict.fromkeys(decided) if decided.count(key) > 1]:
        raise UserError(f"{path}: {both[0]} stands in two of [fixed], [grid] and [sets]; expected it in one of them")
    if not plan.axes:
        raise UserError("nothing varies; expected at least one key with several values, such as model.core=lstm,gru")
    if any("training.metric" in axis.keys for axis in plan.axes):
        raise UserError("training.metric can't vary: runs are compared by it; choose one for all of them")
    return plan


def _is_grid(path: Path) -> bool:
    """Whether a file is a comparison rather than a recipe. A name that is no file is left to those who read it."""
    return path.is_file() and not {"grid", "sets"}.isdisjoint(read_toml(path))


def _from_file(path: Path, fixed: Mapping[str, Any], axes: Sequence[Axis], threshold: Threshold | None) -> Plan:
    file = read_file(path, CompareFile)
    won = {*fixed, *(axis.key for axis in axes)}
    kept = {key: value for key, value in flat(file.fixed, str(path)).items() if key not in won}
    return Plan(
        name=path.stem,
        base=file.base,
        fixed={**kept, **fixed},
        axes=(
            *read_sets(file.sets, str(path)),
            *(axis for axis in read_grid(file.grid, str(path)) if axis.key not in won),
            *axes,
        ),
        threshold=threshold or file.threshold,
        published=file.published,
    )


def base_tree(base: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with keys that win over it, not yet checked.

    Raises:
        UserError: no such recipe, or no TOML.
    """
    path = find_recipe(base)
    return merge({"name": path.stem}, read_toml(path), nested(fixed))


def combinations(plan: Plan) -> list[Combination]:
    """Every run of the grid, the last axis varying fastest.

    Raises:
        UserError: some configuration is wrong; the first one is shown, with how many there are.
    """
    tree = base_tree(plan.base, plan.fixed)
    check(tree, plan.base)
    keys = [axis.key for axis in plan.axes]
    settings = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(a.values for a in plan.axes))]
    found, wrong = [], []
    for name, values in zip(run_names(settings), settings, strict=True):
        try:
            found.append(
                Combination(name, values, check(merge(tree, nested(_decided(plan.axes, values))), label(values)))
            )
        except UserError as error:
            wrong.append(error)
    if wrong:
        count = f"{len(wrong)} of {len(settings)} runs can't be trained; nothing was started. "
        raise UserError(f"{count if len(settings) > 1 else ''}{wrong[0]}")
    return found


def _decided(axes: Iterable[Axis], values: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys of a point of the grid."""
    return {key: value for axis in axes for key, value in axis.decided(values[axis.key]).items()}


def short(keys: Iterable[str]) -> dict[str, str]:
    """Each dotted key's last part, or all of it where that would be another's too."""
    known = list(keys)
    lasts = [key.rpartition(".")[2] for key in known]
    return {key: last if lasts.count(last) == 1 else key for key, last in zip(known, lasts, strict=True)}


def label(values: Mapping[str, Any]) -> str:
    """A point of the grid for people: `core lstm, layers 2`."""
    names = short(values)
    return ", ".join(f"{names[key]} {shown(value)}" for key, value in values.items())


def shown(value: Any) -> str:
    """A value for people: as it is written in TOML, but strings without quotes, numbers with six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def run_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names that can be folders, from the values: `core-lstm_layers-2`. Those that came out alike get a hash."""
    names = ["_".join(f"{short(one)[key]}-{_plain(value)}" for key, value in one.items()) for one in settings]
    return [
        name if names.count(name) == 1 and len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(one)}"
        for name, one in zip(names, settings, strict=True)
    ]


def _plain(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "-", shown(value)).strip("-.") or "empty"


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]
