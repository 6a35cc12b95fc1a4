"""Length: is a sequence of random numbers longer than half of what it could be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s.tasks.streams import uniforms
from s2s.tasks.task import NOTHING, Classes, Numbers, Series, check_length, numbered


@dataclass(frozen=True)
class Length:
    """y = [L > length / 2] for a sequence of L numbers of [0, 1), both uniform, L in 1..length.

    Published (Ostmeyer and Cowell 2017, arXiv 1703.01253, whose code is github.com/jostmey/rwa): numbers of [0, 1), L
    in 0..length - 1, y = [L > length / 2], 100,000 examples for training and 10,000 for the test, batches
    drawn from them with repetition. Chosen here: no sequence is empty, and each epoch has fresh examples.
    Event "past half": the first step at which the answer is 1.
    """

    seed: int
    length: int = 100
    name = "length"
    inputs = Numbers(1)
    target = Classes(2)
    each_step = False
    splits = numbered(train=100_000, valid=1_000, test=10_000)
    note = (
        "Published: numbers of [0, 1), lengths 0..length - 1, 100,000 fixed training examples. Chosen here:"
        " lengths 1..length, fresh training examples each epoch, 1,000 more for validation."
    )

    def __post_init__(self) -> None:
        check_length(self.name, self.length, 2, 1_000_000, "steps", "one is always more than a half of one")

    def draw(self, rows: Sequence[int], epoch: int) -> Series:
        drawn = uniforms(rows, self.length + 1, seed=self.seed, epoch=epoch, fresh=self.splits.train)
        lengths = 1 + (drawn[:, -1] * self.length).astype(np.int64)
        longest = lengths.max(initial=1)
        inputs = drawn[:, :longest].astype(np.float32)
        inputs[np.arange(longest) >= lengths[:, None]] = 0.0
        past = 2 * lengths > self.length
        return Series(
            inputs[:, :, None],
            lengths,
            past.astype(np.int64),
            {"past half": np.where(past, self.length // 2, NOTHING)},
        )
