"""Binary addition: two numbers enter bit by bit, their sum leaves bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2s.corpus.order import random_order
from s2s.tasks.task import Classes, Ints, Numbers, Series, Splits, check_length, counted


@dataclass(frozen=True)
class BinaryAddition:
    """Step t reads bit t of a and of b, the lowest first, and is asked for bit t of a + b.

    `length` bits hold the sum, so a and b are below 2^(length - 1): with 8 there are all 128^2 = 16,384 pairs.
    Published (A. Trask, "Anyone Can Learn To Code an LSTM-RNN in Python", 2015, and the exercises that followed it): 8
    bits, 10,000 random pairs one by one, none of them held out. Not published: the pairs.
    """

    seed: int
    length: int = 8
    name = "binary-addition"
    inputs = Numbers(2)
    target = Classes(2)
    each_step = True
    note = (
        "Published: 8 bits, lowest first, 10,000 random pairs one by one, none held out. Chosen here: a half of all"
        " pairs is trained on, an eighth validated, the rest tested, dealt out by data.seed; (a, b) and (b, a) are two."
    )

    def __post_init__(self) -> None:
        why = "all pairs are numbered, and the last bit is the carry's"
        check_length(self.name, self.length, 3, 11, "bits", why)

    @cached_property
    def splits(self) -> Splits:
        return counted(4 ** (self.length - 1))

    def draw(self, rows: Sequence[int], epoch: int) -> Series:  # noqa: ARG002  # all examples there are, each epoch
        pairs = self._order[np.asarray(rows, dtype=np.int64)]
        a, b = np.divmod(pairs, 2 ** (self.length - 1))
        bits = (np.stack([a, b, a + b])[:, :, None] >> np.arange(self.length)) & 1
        inputs = np.stack([bits[0], bits[1]], axis=2).astype(np.float32)
        return Series(inputs, np.full(len(pairs), self.length), bits[2])

    @cached_property
    def _order(self) -> Ints:
        return random_order(4 ** (self.length - 1), self.seed)
