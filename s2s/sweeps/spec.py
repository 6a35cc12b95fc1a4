"""The TOML files of `s2s compare` and `s2s tune`: what may stand in them, checked before anything starts."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from s2s.config.base import NonNegative, Positive, Section
from s2s.config.io import read_toml
from s2s.errors import UserError

File = TypeVar("File", bound=Section)


class Threshold(Section):
    """A run is there at the first of `consecutive` validations in a row that are better than `value`."""

    value: float
    consecutive: Positive = 1


class PublishedCurve(Section):
    """A curve of the file, and the values of the grid that it is drawn beside."""

    task: str
    model: str
    where: dict[str, Any] = Field({})


class Published(Section):
    """Curves of others: a CSV file with the columns task, model, iteration, test_cost, test_accuracy."""

    file: str = ""
    """Empty: not at hand; `--published FILE` names it, else the curves are left out."""
    curves: list[PublishedCurve] = Field(min_length=1)


class CompareFile(Section):
    """A grid: every combination of the values in `[grid]` is a run of `base` with `[fixed]`.

    `[sets.NAME]` is an axis, too: its values have names, and each stands for several keys that vary together.
    """

    base: str
    fixed: dict[str, Any] = Field({})
    grid: dict[str, Any] = Field({})
    sets: dict[str, dict[str, dict[str, Any]]] = Field({})
    threshold: Threshold | None = None
    published: Published | None = None


class _Numbers(Section):
    log: bool = False
    low: float
    high: float
    step: float | None = Field(None, gt=0.0)

    @model_validator(mode="after")
    def _in_order(self) -> _Numbers:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} and high = {self.high:g}; expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true and low = {self.low:g}; expected low above 0")
        if self.log and self.step is not None:
            raise ValueError("log = true and step can't be had together; leave one out")
        return self


class Floats(_Numbers):
    """Numbers from low to high."""

    type: Literal["float"]


class Ints(_Numbers):
    """Whole numbers from low to high, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: Positive | None = None


class Choices(Section):
    """One of several values."""

    type: Literal["categorical"]
    choices: list[bool | int | float | str] = Field(min_length=1)


Entry = Annotated[Floats | Ints | Choices, Field(discriminator="type")]


class Pruner(Section):
    """Which trials are stopped before their end: those worse than the median of others at the same validation."""

    kind: Literal["median", "none"] = "median"
    startup: NonNegative = 5
    """Trials that end before any is stopped."""
    warmup: NonNegative = 0
    """Validations of a trial before it may be stopped."""


class TuneFile(Section):
    """A study: trials of `base` with `[fixed]` and values drawn from `[space]`."""

    base: str
    trials: Positive
    metric: str = ""
    """What is to be made best; empty: training.metric of the recipe."""
    seed: NonNegative = 1
    fixed: dict[str, Any] = Field({})
    space: dict[str, Any] = Field(min_length=1)
    pruner: Pruner = Pruner()


class Space(Section):
    """The entries of `[space]` by their dotted keys."""

    entries: dict[str, Entry]


def read_file(path: Path, kind: type[File]) -> File:
    """A TOML file as `kind`.

    Raises:
        UserError: missing, no TOML, or with unknown keys or wrong values, all said together.
    """
    return checked(read_toml(path), kind, str(path))


def checked(tree: Any, kind: type[File], where: str) -> File:
    """Tables as `kind`.

    Raises:
        UserError: all problems together, one a line.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        lines = [_problem(problem, kind) for problem in error.errors()]
        raise UserError("\n  ".join([f"{where}: expected {_shape(kind)}", *lines])) from None


def _shape(kind: type[Section]) -> str:
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    others = [name for name in kind.model_fields if name not in needed]
    return " and ".join(needed) + (f" (and perhaps {', '.join(others)})" if others else "")


def _problem(problem: Any, kind: type[Section]) -> str:
    path = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], kind.model_fields, n=1) if len(path) == 1 else []
        return f"{path[-1]}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{'.'.join(path)}: missing"
    return f"{'.'.join(path) or 'file'}: {message[0].lower()}{message[1:]}"
