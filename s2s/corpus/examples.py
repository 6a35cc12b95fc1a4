"""Training pairs as ids: encoded once and held, or encoded when their batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from s2s.corpus.formats import Pair
from s2s.text.subwords import Subwords
from s2s.text.tokenizer import Tokenizer

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One encoded pair, ids without BOS and EOS."""

    source: Sequence[int]
    target: Sequence[int]


class Examples(Protocol):
    """Numbered examples. What `take` gives is a function of its arguments, so a resumed run sees the same."""

    @property
    def source_lengths(self) -> Ints:
        """Tokens of each source, by which batches are planned."""

    @property
    def target_lengths(self) -> Ints:
        """Tokens of each target."""

    def take(self, rows: Sequence[int], epoch: int) -> list[Example]:
        """The examples of these rows as they are in this epoch."""


@dataclass(frozen=True)
class Encoded:
    """Examples that were encoded once; an epoch is like another."""

    examples: Sequence[Example]

    @cached_property
    def source_lengths(self) -> Ints:
        return np.fromiter((len(one.source) for one in self.examples), np.int64, len(self.examples))

    @cached_property
    def target_lengths(self) -> Ints:
        return np.fromiter((len(one.target) for one in self.examples), np.int64, len(self.examples))

    def take(self, rows: Sequence[int], epoch: int) -> list[Example]:  # noqa: ARG002
        return [self.examples[row] for row in rows]


@dataclass(frozen=True)
class Drawn:
    """Pairs whose subwords are drawn anew each time (Kudo 2018, arXiv 1804.10959; Provilkov et al. 2020, 1910.13267).

    The lengths are those of the likeliest subwords, or of BPE without dropout: what is drawn is longer, so a batch
    may hold more tokens than it was planned for.

    Attributes:
        strength: see `Subwords.sample_batch`.
        seed: with epoch and rows it decides what is drawn.
    """

    pairs: Sequence[Pair]
    source: Subwords
    target: Subwords
    source_lengths: Ints
    target_lengths: Ints
    strength: float
    seed: int

    def take(self, rows: Sequence[int], epoch: int) -> list[Example]:
        pairs = [self.pairs[row] for row in rows]
        first, second = np.random.SeedSequence([self.seed, epoch, *rows]).generate_state(2).tolist()
        sources = self.source.sample_batch([pair.source for pair in pairs], strength=self.strength, seed=first)
        targets = self.target.sample_batch([pair.target for pair in pairs], strength=self.strength, seed=second)
        return [Example(*sides) for sides in zip(sources, targets, strict=True)]


def encode_pairs(pairs: Sequence[Pair], source: Tokenizer, target: Tokenizer) -> list[Example]:
    """The examples of the pairs, encoded side by side."""
    sources = source.encode_batch([pair.source for pair in pairs])
    targets = target.encode_batch([pair.target for pair in pairs])
    return [Example(*sides) for sides in zip(sources, targets, strict=True)]
