"""An interpolated Kneser-Ney model of n-grams: what a neural language model has to beat (Kneser and Ney 1995; Chen and
Goodman 1999, section 2.7).

    p_k(w | h) = max(c_k(h w) - D_k, 0) / c_k(h .) + D_k N_k(h) / c_k(h .) p_(k-1)(w | h without its first word)

c_k counts n-grams in the highest order; below, the different words that stand before them. N_k(h) is the number of
words that follow h, p_0 = 1 / V, and D_k = n_1 / (n_1 + 2 n_2) where n_j n-grams have the count j. An h that never
occurred leaves p_(k-1) as it is.
"""

# N tokens of all sequences with the begin marks before each; G different n-grams of an order, H of the order below

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_NONE = -1  # the number of an n-gram that never occurred
_DISCOUNT = 0.5  # where no n-gram has the count 1, as in a text that repeats itself


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order: sorted keys (number of the n-gram without its last word, that word) and counts."""

    keys_G: Ints
    counts_G: Floats
    totals_H: Floats
    """c_k(h .)"""
    kinds_H: Floats
    """N_k(h)"""
    discount: float


class _Tokens(NamedTuple):
    """Sequences in one row; `places_N` counts from 0 at the first begin mark of each."""

    words_N: Ints
    places_N: Ints
    rows_N: Ints


@dataclass(frozen=True)
class KneserNey:
    """Probabilities of sequences of the ids 0 to `size` - 1; each begins without history.

    The ids of a vocabulary's end mark and unknown word are words like any other: whoever wants an end to be predicted
    puts it behind each sequence.
    """

    size: int
    orders: tuple[_Order, ...]

    @classmethod
    def fit(cls, sequences: Sequence[Sequence[int]], *, order: int, size: int) -> KneserNey:
        """A model of n-grams of up to `order` words.

        ValueError for an order below 1, an id outside the vocabulary, or no words at all.
        """
        if order < 1 or not any(map(len, sequences)):
            raise ValueError(f"got order {order} and {len(sequences)} sequences, expected 1 or more and words")
        tokens = _joined(sequences, order, size)
        numbers: list[Ints] = []
        keys: list[Ints] = []
        for k in range(1, order + 1):
            keys_N = _keys(tokens, numbers[-1] if numbers else None, k, size)
            found_G, numbers_N = np.unique(keys_N, return_inverse=True)
            absent = int((found_G[:1] == _NONE).sum())  # sorted, so that it stands first
            keys.append(found_G[absent:])
            numbers.append(numbers_N - absent)
        said_N = tokens.places_N >= order - 1
        counts = [_continuations(lower, upper, said_N) for lower, upper in pairwise(numbers)]
        counts.append(np.bincount(numbers[-1][said_N]))
        lengths = [1, *map(len, keys)]
        return cls(size, tuple(map(_order, keys, counts, lengths, [size + 1] * order)))

    def scores(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """ln p of each sequence; 0 for one without words. ValueError for an id outside the vocabulary."""
        order = len(self.orders)
        tokens = _joined(sequences, order, self.size)
        p_N, numbers = np.full(len(tokens.words_N), 1 / self.size), None
        for k, grams in enumerate(self.orders, start=1):
            history_N = _history(tokens, numbers, k)
            numbers = _find(grams.keys_G, _keys(tokens, numbers, k, self.size))
            p_N = _interpolated(grams, history_N, numbers, p_N)
        said_N = tokens.places_N >= order - 1
        return _sums(tokens.rows_N[said_N], np.log(p_N[said_N]), len(sequences))


def _joined(sequences: Sequence[Sequence[int]], order: int, size: int) -> _Tokens:
    """order - 1 begin marks (the id `size`) before each sequence."""
    begin = [size] * (order - 1)
    words_N = np.fromiter(chain.from_iterable(chain(begin, one) for one in sequences), np.int64)
    lengths = np.array([len(one) + order - 1 for one in sequences], np.int64)
    rows_N = np.repeat(np.arange(len(lengths)), lengths)
    places_N = np.arange(len(words_N)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    outside = (words_N < 0) | ((words_N >= size) & (places_N >= order - 1))
    if outside.any():
        raise ValueError(f"the id {words_N[outside][0]} is outside a vocabulary of {size}")
    return _Tokens(words_N, places_N, rows_N)


def _history(tokens: _Tokens, numbers: Ints | None, k: int) -> Ints:
    """The number of the k - 1 words before each token; `numbers` are those of the (k - 1)-grams that end there."""
    if numbers is None:
        return np.zeros(len(tokens.words_N), np.int64)
    return np.where(tokens.places_N >= k - 1, np.concatenate([[_NONE], numbers[:-1]]), _NONE)


def _keys(tokens: _Tokens, numbers: Ints | None, k: int, size: int) -> Ints:
    """The key of the k-gram that ends at each token."""
    history_N = _history(tokens, numbers, k)
    return np.where(history_N == _NONE, _NONE, history_N * (size + 1) + tokens.words_N)


def _find(keys_G: Ints, keys_N: Ints) -> Ints:
    """Where each key stands among the sorted ones, or `_NONE`."""
    places = np.minimum(np.searchsorted(keys_G, keys_N), len(keys_G) - 1)
    return np.where(keys_G[places] == keys_N, places, _NONE)


def _continuations(lower_N: Ints, upper_N: Ints, said_N: Flags) -> Ints:
    """For each n-gram, how many different words stand before it."""
    _, first = np.unique(upper_N[said_N], return_index=True)
    return np.bincount(lower_N[said_N][first])


def _order(keys_G: Ints, counts: Ints, histories: int, radix: int) -> _Order:
    counts_G = np.zeros(len(keys_G))
    counts_G[: len(counts)] = counts
    once, twice = (int((counts_G == number).sum()) for number in (1, 2))
    history_G = keys_G // radix
    return _Order(
        keys_G,
        counts_G,
        _sums(history_G, counts_G, histories),
        _sums(history_G, counts_G > 0, histories),
        once / (once + 2 * twice) if once else _DISCOUNT,
    )


def _sums(places: Ints, values: Floats | Flags, count: int) -> Floats:
    """The sum of the values at each place."""
    return np.bincount(places, weights=values, minlength=count).astype(np.float64)


def _interpolated(grams: _Order, history_N: Ints, numbers_N: Ints, lower_N: Floats) -> Floats:
    """p_k from p_(k-1)."""
    known_N = (history_N != _NONE) & (grams.totals_H[history_N] > 0)
    totals_N = np.where(known_N, grams.totals_H[history_N], 1.0)
    counts_N = np.where(numbers_N != _NONE, grams.counts_G[numbers_N], 0.0)
    own_N = np.maximum(counts_N - grams.discount, 0.0) + grams.discount * grams.kinds_H[history_N] * lower_N
    return np.where(known_N, own_N / totals_N, lower_N)
