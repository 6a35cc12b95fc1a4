"""The adding problem: the sum of the two numbers of a sequence that are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s.tasks.streams import uniforms
from s2s.tasks.task import Numbers, Series, Values, check_length, numbered


@dataclass(frozen=True)
class Adding:
    """y = v_i + v_j. Step t reads (v_t, [t = i or t = j]); v uniform in [0, 1), i and j any two different steps.

    Published (Hochreiter and Schmidhuber 1997 have the problem, and call an answer right within 0.04; this form is that
    of Ostmeyer and Cowell 2017, arXiv 1703.01253, whose code is github.com/jostmey/rwa): 100,000 examples for training
    and 10,000 for the test, batches drawn from them with repetition. Others mark one step in each half.
    Chosen here: each epoch has fresh examples. Events "first marked" and "second marked".
    """

    seed: int
    length: int = 100
    name = "adding"
    inputs = Numbers(2)
    target = Values(1, tolerance=0.04)
    each_step = False
    splits = numbered(train=100_000, valid=1_000, test=10_000)
    note = (
        "Published: values of [0, 1), any two different steps marked, 100,000 fixed training examples. Chosen here:"
        " fresh training examples each epoch, 1,000 more for validation; right is within 0.04."
    )

    def __post_init__(self) -> None:
        check_length(self.name, self.length, 2, 1_000_000, "steps", "two different steps are marked")

    def draw(self, rows: Sequence[int], epoch: int) -> Series:
        drawn = uniforms(rows, self.length + 2, seed=self.seed, epoch=epoch, fresh=self.splits.train)
        every, steps = np.arange(len(drawn)), self.length
        first = (drawn[:, steps] * steps).astype(np.int64)
        second = (drawn[:, steps + 1] * (steps - 1)).astype(np.int64)
        second += second >= first
        inputs = np.zeros((len(drawn), steps, 2), dtype=np.float32)
        inputs[:, :, 0] = drawn[:, :steps]
        inputs[every, first, 1] = inputs[every, second, 1] = 1.0
        targets = inputs[every, first, :1] + inputs[every, second, :1]
        events = {"first marked": np.minimum(first, second), "second marked": np.maximum(first, second)}
        return Series(inputs, np.full(len(drawn), steps), targets, events)
