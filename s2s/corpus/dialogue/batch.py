"""Dialogues as tensors: every turn of every dialogue is a row, so all turns of a batch are read and written at once."""

# B dialogues, R rows (the turns of the first dialogue in order, then those of the second, ...), T tokens of a turn

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from s2s.corpus.batch import pad
from s2s.corpus.examples import Ints
from s2s.corpus.order import random_order
from s2s.errors import UserError
from s2s.text.vocab import BOS, EOS

Turns = Sequence[Sequence[int]]
"""A dialogue in token ids, without marks."""


@dataclass(frozen=True)
class DialogueBatch:
    """Padded turns. Each row holds the ids of a turn and the end mark: what is read, and what is to be predicted."""

    words_RT: Tensor
    lengths_R: Tensor
    """With the end mark, so 1 at least."""
    counts_B: Tensor
    """Turns of each dialogue."""
    rows: list[int]
    """Numbers of the dialogues."""
    tokens: int
    """That are to be predicted: all of them, end marks included."""

    @property
    def inputs_RT(self) -> Tensor:
        """What the decoder reads: the begin mark, then each row but its last token."""
        begin_R1 = torch.full_like(self.words_RT[:, :1], BOS)
        return torch.cat([begin_R1, self.words_RT[:, :-1]], 1)

    @property
    def extent(self) -> str:
        """How long the longest is, in words."""
        return f"{int(self.counts_B.max())} turns of up to {self.words_RT.shape[1]} tokens"

    def to(self, device: torch.device | str) -> DialogueBatch:
        """The same batch on a device."""
        parts = (tensor.to(device) for tensor in (self.words_RT, self.lengths_R, self.counts_B))
        words_RT, lengths_R, counts_B = parts
        return replace(self, words_RT=words_RT, lengths_R=lengths_R, counts_B=counts_B)


def dialogue_batch(dialogues: Sequence[Turns], rows: Sequence[int]) -> DialogueBatch:
    """The dialogues as one batch on the CPU; `rows` are their numbers."""
    words_RT, lengths_R = pad([[*turn, EOS] for turns in dialogues for turn in turns])
    counts_B = torch.tensor([len(turns) for turns in dialogues], dtype=torch.int64)
    return DialogueBatch(words_RT, lengths_R, counts_B, list(rows), int(lengths_R.sum()))


@dataclass(frozen=True)
class DialogueSource:
    """Where a training loop's batches come from: dialogues, planned anew each epoch from seed and epoch alone.

    Attributes:
        size: most dialogues of a batch.
        tokens: most padded tokens: turns of all dialogues * tokens of the longest turn, its end mark included. A
            dialogue with more is a batch of its own. One of the two limits is given, or both.
        pool: batches whose dialogues are sorted by length together; None: all; 1: no length buckets.

    Raises:
        UserError: no limit, or one below 1.
    """

    dialogues: Sequence[Turns]
    size: int | None
    tokens: int | None
    seed: int
    pool: int | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.tokens is None:
            raise UserError("a batch needs a limit: give its size in dialogues, a budget of padded tokens, or both.")
        for name, limit in (("size", self.size), ("tokens", self.tokens)):
            if limit is not None and limit < 1:
                raise UserError(f"the batch limit {name} must be 1 or more, got {limit}.")

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, each dialogue in one of them; in epoch 0 the largest is first, so that a batch which
        does not fit into memory shows at once."""
        batches = self._batches(random_order(len(self.dialogues), self.seed, epoch, 0))
        plan = [batches[number] for number in random_order(len(batches), self.seed, epoch, 1)]
        if epoch == 0 and plan:
            plan.insert(0, plan.pop(max(range(len(plan)), key=lambda number: self._cost(plan[number]))))
        return plan

    def in_order(self) -> list[list[int]]:
        """The batches of an evaluation, shortest turns first: the same every time."""
        return self._batches(np.arange(len(self.dialogues)))

    def batch(self, rows: Sequence[int], epoch: int) -> DialogueBatch:  # noqa: ARG002
        """These dialogues, the same in every epoch."""
        return dialogue_batch([self.dialogues[row] for row in rows], rows)

    @cached_property
    def _lengths(self) -> tuple[Ints, Ints]:
        """Turns of each dialogue, and tokens of its longest turn with the end mark."""
        longest = [1 + max(map(len, turns), default=0) for turns in self.dialogues]
        return np.array([len(turns) for turns in self.dialogues], np.int64), np.array(longest, np.int64)

    def _batches(self, order: Ints) -> list[list[int]]:
        """Cut from this order after sorting, in pools, by the longest turn and then by the number of turns."""
        counts, longest = self._lengths
        found: list[list[int]] = []
        step = self._pool_rows()
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            if self.pool != 1:
                rows = rows[np.lexsort((counts[rows], longest[rows]))]
            found += self._cut(rows.tolist())
        return found

    def _pool_rows(self) -> int:
        """Dialogues that are sorted together."""
        everything = max(1, len(self.dialogues))
        if self.pool is None or self.pool == 1:
            return everything
        counts, longest = self._lengths
        mean = float((counts * longest).mean()) if len(counts) else 1.0
        size = everything if self.tokens is None else max(1, int(self.tokens / max(mean, 1.0)))
        return self.pool * min(size, self.size or everything)

    def _cut(self, rows: Sequence[int]) -> list[list[int]]:
        """Dialogues are added until the next one would break a limit."""
        counts, longest = self._lengths
        batches: list[list[int]] = []
        turns = width = 0
        for row in rows:
            count, length = int(counts[row]), int(longest[row])
            turns, width = turns + count, max(width, length)
            full = batches and self.size is not None and len(batches[-1]) >= self.size
            if not batches or full or (self.tokens is not None and turns * width > self.tokens):
                batches.append([])
                turns, width = count, length
            batches[-1].append(row)
        return batches

    def _cost(self, rows: Sequence[int]) -> int:
        """Padded tokens."""
        counts, longest = self._lengths
        return int(counts[rows].sum() * longest[rows].max())
