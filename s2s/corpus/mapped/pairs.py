"""The pairs of one or several stores as a sequence, and what is asked of all of them: filters, splits, a hash."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from s2s.corpus.examples import Ints
from s2s.corpus.filter import Facts, Filters
from s2s.corpus.formats import Pair
from s2s.corpus.mapped.parse import hashed
from s2s.corpus.mapped.store import DTYPES, EMPTY, IDENTICAL, Column, Store
from s2s.corpus.split import Overlap, not_both_sides

_BLOCK = 1 << 17
"""Pairs whose numbers are looked at together."""


@dataclass(frozen=True, eq=False)
class MappedPairs(Sequence[Pair]):
    """Pairs that are read when they are asked for.

    Attributes:
        stores: where they stand, one after the other.
        rows: which of them these are, in order; None: all.
    """

    stores: tuple[Store, ...]
    rows: Ints | None = None

    def __len__(self) -> int:
        return self._ends[-1] if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> MappedPairs: ...
    def __getitem__(self, index: int | slice) -> Pair | MappedPairs:
        if isinstance(index, slice):
            return self.select(np.arange(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        index %= len(self)
        row = index if self.rows is None else int(self.rows[index])
        number = bisect_right(self._ends, row)
        return self.stores[number].pair(row - (self._ends[number - 1] if number else 0))

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def __add__(self, other: MappedPairs) -> MappedPairs:
        """All of these, then all of those."""
        stores = self.stores + other.stores
        if self.rows is None and other.rows is None:
            return MappedPairs(stores)
        return MappedPairs(stores, _small(np.concatenate([self._rows(), self._ends[-1] + other._rows()]), stores))

    def select(self, places: Ints) -> MappedPairs:
        """The pairs at these places."""
        rows = places if self.rows is None else self.rows[places]
        return MappedPairs(self.stores, _small(rows, self.stores))

    @property
    def sha256(self) -> str:
        """Of all texts of the stores in their order, and of the rows."""
        digest = hashlib.sha256(" ".join(store.sha256 for store in self.stores).encode())
        for start in range(0, 0 if self.rows is None else len(self), _BLOCK):
            digest.update(self._rows(start, start + _BLOCK).astype("<u8").tobytes())
        return digest.hexdigest()

    def values(self, column: Column, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """What a column of the stores holds for the pairs from `start` to `stop`."""
        start, stop, _ = slice(start, stop).indices(len(self))
        found = np.empty(stop - start, DTYPES[column])
        for begin in range(start, stop, _BLOCK):
            rows, first = self._rows(begin, min(begin + _BLOCK, stop)), 0
            for store, end in zip(self.stores, self._ends, strict=True):
                own = (rows >= first) & (rows < end)
                found[begin - start : begin - start + _BLOCK][own] = store.values(column, rows[own] - first)
                first = end
        return found

    def facts(self, filters: Filters) -> Facts:
        """The facts that these filters ask for."""
        marks = self.values("marks")
        keys = self.values("pairs") if filters.drop_duplicates else marks
        return Facts((marks & EMPTY) > 0, (marks & IDENTICAL) > 0, keys)

    def sample(self, count: int, *, seed: int) -> MappedPairs:
        """Random pairs in their order: `count`, less those that were drawn twice; all, if there are no more."""
        if len(self) <= count:
            return self
        drawn = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count) % len(self)
        return self.select(np.unique(drawn).astype(np.int64))

    def hold_out(self, *, count: int, seed: int) -> tuple[MappedPairs, list[Pair]]:
        """(train, held), as `s2s.corpus.split.hold_out`: random pairs, all of one source on one side.

        Pairs are drawn and their sources taken, so that a source which repeats is taken more often.
        """
        drawn = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(4 * count) % len(self)
        sources = self.select(drawn.astype(np.int64)).values("sources")
        places, found = self._standing("sources", sources)
        repeats = dict(zip(*(side.tolist() for side in np.unique(found, return_counts=True)), strict=True))
        chosen, held = list[int](), 0
        for source in dict.fromkeys(sources.tolist()):
            if held + repeats[source] <= count:
                chosen.append(source)
                held += repeats[source]
        chosen = chosen or sorted(repeats, key=lambda source: repeats[source])[:1]
        out = places[np.isin(found, np.array(chosen, np.uint64))]
        if not 0 < len(out) < len(self):
            raise not_both_sides(count, len(self), len(repeats))
        left = np.ones(len(self), bool)
        left[out] = False
        return self.select(np.flatnonzero(left)), list(self.select(out))

    def overlap(self, test: Sequence[Pair]) -> Overlap:
        """As `s2s.corpus.split.overlap`, by hashes."""
        texts = [(pair.source.encode(), pair.target.encode()) for pair in test]
        pairs = np.frombuffer(b"".join(hashed(*text) for text in texts), DTYPES["pairs"])
        sources = np.frombuffer(b"".join(hashed(source) for source, _ in texts), DTYPES["sources"])
        both = np.isin(pairs, self._standing("pairs", pairs)[1])
        one = np.isin(sources, self._standing("sources", sources)[1])
        return Overlap(pairs=int(both.sum()), sources=int(one.sum()), total=len(test))

    def _standing(self, column: Column, wanted: npt.NDArray[np.uint64]) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """Where a column holds one of the wanted numbers, and which."""
        places, found = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        known = np.unique(wanted)
        for start in range(0, len(self) if len(known) else 0, _BLOCK):
            block = self.values(column, start, start + _BLOCK)
            nearest = np.minimum(np.searchsorted(known, block), len(known) - 1)
            hits = np.flatnonzero(known[nearest] == block)
            places.append(start + hits)
            found.append(block[hits])
        return np.concatenate(places), np.concatenate(found)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.stores)))

    def _rows(self, start: int = 0, stop: int | None = None) -> Ints:
        if self.rows is None:
            return np.arange(*slice(start, stop).indices(self._ends[-1]))
        return self.rows[start:stop].astype(np.int64)


def _small(rows: Ints, stores: Sequence[Store]) -> Ints:
    """In 4 bytes a row where these are enough."""
    return rows.astype(np.min_scalar_type(sum(map(len, stores))))
