"""Training pairs as ids: encoded once and held, or encoded when their batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from s2s.corpus.formats import Pair
from s2s.text.extended import Extended
from s2s.text.subwords import Subwords
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import UNK

Ints = npt.NDArray[np.integer[Any]]


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
    """Pairs that are encoded each time anew, and whose subwords may be drawn (Kudo 2018, arXiv 1804.10959; Provilkov et
    al. 2020, 1910.13267).

    The lengths are those of the likeliest subwords, or of BPE without dropout: what is drawn is longer, so a batch
    may hold more tokens than it was planned for.

    Attributes:
        strength: see `Subwords.sample_batch`; 0: nothing is drawn.
        seed: with epoch and rows it decides what is drawn.
        extended: see `encode_pairs`, where nothing is drawn.
    """

    pairs: Sequence[Pair]
    source: Tokenizer
    target: Tokenizer
    source_lengths: Ints
    target_lengths: Ints
    strength: float
    seed: int
    extended: bool = False

    def take(self, rows: Sequence[int], epoch: int) -> list[Example]:
        pairs = [self.pairs[row] for row in rows]
        if not self.strength:
            return encode_pairs(pairs, self.source, self.target, extended=self.extended)
        assert isinstance(self.source, Subwords), "the configuration was checked"
        assert isinstance(self.target, Subwords)
        first, second = np.random.SeedSequence([self.seed, epoch, *rows]).generate_state(2).tolist()
        sources = self.source.sample_batch([pair.source for pair in pairs], strength=self.strength, seed=first)
        targets = self.target.sample_batch([pair.target for pair in pairs], strength=self.strength, seed=second)
        return [Example(*sides) for sides in zip(sources, targets, strict=True)]


def encode_pairs(
    pairs: Sequence[Pair], source: Tokenizer, target: Tokenizer, *, extended: bool = False
) -> list[Example]:
    """The examples of the pairs, encoded side by side.

    `extended`: a word of a source that is unknown has an id of its own there and in its target (`text.extended`).
    """
    sources = source.encode_batch([pair.source for pair in pairs])
    targets = target.encode_batch([pair.target for pair in pairs])
    examples = [Example(*sides) for sides in zip(sources, targets, strict=True)]
    if not extended:
        return examples
    both = zip(pairs, examples, strict=True)
    return [_extended(pair, source, target) if UNK in example.source else example for pair, example in both]


def _extended(pair: Pair, source: Tokenizer, target: Tokenizer) -> Example:
    own = Extended.of(target, pair.source)
    return Example(Extended(source, own.own).encode(pair.source), own.encode(pair.target))
