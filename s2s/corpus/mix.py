"""Several corpora in one run: their shares of an epoch, and the tags of their target languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2s.corpus.examples import Example, Examples, Ints
from s2s.corpus.order import random_order


@dataclass(frozen=True)
class Mix:
    """Corpora that stand one after the other, each with its weight.

    An epoch has as many pairs as the corpora together. Of these, corpus k gives round(all * weight_k / sum of weights),
    at least one: all its pairs as often as that holds them, and for the rest different ones, drawn by seed and epoch.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def counts(self) -> list[int]:
        """Pairs of each corpus in an epoch."""
        total, weight = sum(self.sizes), sum(self.weights)
        return [max(1, round(total * own / weight)) for own in self.weights]

    def rows(self, seed: int, epoch: int) -> Ints:
        """The rows of an epoch, some of them several times; a function of its arguments alone."""
        found, start = [], 0
        for number, (size, count) in enumerate(zip(self.sizes, self.counts(), strict=True)):
            passes, rest = divmod(count, size)
            drawn = random_order(size, seed, epoch, 2, number)[:rest]  # 0 and 1 are of `plan_epoch`
            found.append(start + np.concatenate([np.tile(np.arange(size), passes), np.sort(drawn)]))
            start += size
        return np.concatenate(found).astype(np.min_scalar_type(start))  # a large corpus keeps 4 bytes a row


@dataclass(frozen=True)
class TaggedExamples:
    """Examples whose sources begin with a tag, which has one id an example (see `s2s.text.tags`)."""

    examples: Examples
    tags_N: Ints

    @cached_property
    def source_lengths(self) -> Ints:
        return np.add(self.examples.source_lengths, 1, dtype=np.int32)

    @property
    def target_lengths(self) -> Ints:
        return self.examples.target_lengths

    def take(self, rows: Sequence[int], epoch: int) -> list[Example]:
        tags = self.tags_N[list(rows)].tolist()
        found = self.examples.take(rows, epoch)
        return [Example([tag, *one.source], one.target) for tag, one in zip(tags, found, strict=True)]
