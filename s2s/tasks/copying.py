"""The variable copy problem: symbols are to be said again after a sign that comes at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2s.tasks.streams import uniforms
from s2s.tasks.task import Classes, Series, Symbols, check_length, numbered

PATTERN = 10
"""Symbols to copy."""
KINDS = 7
"""Kinds of them: ids 1..7. Then come a blank and the sign to recall."""
BLANK, RECALL = 8, 9


@dataclass(frozen=True)
class Copy:
    """Steps: 10 symbols, then blanks with one sign among them, length + 20 in all; after the sign the 10 are asked for.

    The sign stands at step p, uniform in 10..length + 8. The class asked at p + 1..p + 10 is the pattern's, id - 1, and
    at each other step that of the blank.
    Published (Henaff, Szlam and LeCun 2016 vary the delay; this form is that of Ostmeyer and Cowell 2017, arXiv
    1703.01253, whose code is github.com/jostmey/rwa): 7 kinds of symbols, a cost over all steps, 100,000 examples for
    training and 10,000 for the test, batches drawn from them with repetition, steps read as one-hot vectors.
    Chosen here: each epoch has fresh examples. Event "recall": the step of the sign.
    """

    seed: int
    length: int = 100
    name = "copy"
    inputs = Symbols(RECALL)
    target = Classes(BLANK)
    each_step = True
    splits = numbered(train=100_000, valid=1_000, test=10_000)
    note = (
        "Published: 10 symbols of 7 kinds, blanks and a sign to recall, length + 20 steps with a cost at each, 100,000"
        " fixed training examples. Chosen here: fresh training examples each epoch, 1,000 more for validation."
    )

    def __post_init__(self) -> None:
        check_length(
            self.name, self.length, 2, 1_000_000, "blanks", "the sign to recall stands at one of length - 1 steps"
        )

    @cached_property
    def steps(self) -> int:
        return self.length + 2 * PATTERN

    def draw(self, rows: Sequence[int], epoch: int) -> Series:
        drawn = uniforms(rows, PATTERN + 1, seed=self.seed, epoch=epoch, fresh=self.splits.train)
        pattern = 1 + (drawn[:, :PATTERN] * KINDS).astype(np.int64)
        sign = PATTERN + (drawn[:, PATTERN] * (self.length - 1)).astype(np.int64)
        every = np.arange(len(drawn))
        inputs = np.full((len(drawn), self.steps), BLANK)
        targets = inputs - 1
        inputs[:, :PATTERN] = pattern
        inputs[every, sign] = RECALL
        targets[every[:, None], sign[:, None] + 1 + np.arange(PATTERN)] = pattern - 1
        return Series(inputs, np.full(len(drawn), self.steps), targets, {"recall": sign})
