"""What a sequence task is: what a step is read as, what is asked, which rows there are, and examples by row.

Shapes: N examples, T steps, I numbers a step, K values of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from s2s.errors import UserError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NOTHING = -1
"""A class where no answer is asked, and an event that an example does not have."""


@dataclass(frozen=True)
class Numbers:
    """A step is so many numbers."""

    size: int


@dataclass(frozen=True)
class Symbols:
    """A step is one of so many symbols, with the ids 1..count; 0 stands after an example's end."""

    count: int


@dataclass(frozen=True)
class Values:
    """The answer is so many numbers; it is right where none of them is off by more than the tolerance."""

    size: int
    tolerance: float

    @property
    def outputs(self) -> int:
        """How many numbers a model says for it."""
        return self.size


@dataclass(frozen=True)
class Classes:
    """The answer is one of so many classes, with the ids 0..count - 1."""

    count: int

    @property
    def outputs(self) -> int:
        """How many numbers a model says for it: one logit for two classes, as published, else one a class."""
        return 1 if self.count == 2 else self.count


@dataclass(frozen=True)
class Series:
    """Examples side by side, as long as the longest of them, zero after each one's end.

    Attributes:
        inputs: (N, T, I) float32 for `Numbers`, (N, T) ids for `Symbols`.
        lengths: (N,) steps of each example.
        targets: (N, K) float32 for `Values`, (N,) ids for `Classes`; with an answer at each step (N, T, K) or (N, T),
            NOTHING where there is no class.
        events: named steps, (N,) each, for pictures; NOTHING in an example that does not have the event.
    """

    inputs: Floats | Ints
    lengths: Ints
    targets: Floats | Ints
    events: Mapping[str, Ints] = field(default_factory=dict)


class Splits(NamedTuple):
    """The rows of each part; no row is in two. `whole`: all rows, of a task that has no others."""

    train: range
    valid: range
    test: range
    whole: range | None = None


class Task(Protocol):
    """A task with all its choices made, its seed too."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Numbers | Symbols: ...
    @property
    def target(self) -> Values | Classes: ...
    @property
    def each_step(self) -> bool:
        """Whether there is an answer at each step, rather than one at the end."""

    @property
    def splits(self) -> Splits: ...
    @property
    def note(self) -> str:
        """What of it is published, and what is this project's choice."""

    def draw(self, rows: Sequence[int], epoch: int) -> Series:
        """The examples of these rows, a function of the task and its arguments alone; each depends on its row only.

        Where examples are drawn rather than counted, the training rows are other examples in each epoch.
        """


def counted(count: int) -> Splits:
    """Of all `count` examples a half for training, an eighth for validation, the rest for the test."""
    half, held = count // 2, count // 8
    return Splits(range(half), range(half, half + held), range(half + held, count), range(count))


def numbered(train: int, valid: int, test: int) -> Splits:
    """Three ranges one after the other."""
    return Splits(range(train), range(train, train + valid), range(train + valid, train + valid + test))


def check_length(task: str, length: int, least: int, most: int, what: str, why: str) -> None:
    """UserError for a length that the task's generator can't make; says what is possible, and why."""
    if not least <= length <= most:
        raise UserError(
            f"the task {task} cannot be made with {length:,} {what}: expected {least} to {most:,} ({why})."
            " Set data.length to one of these"
        )
