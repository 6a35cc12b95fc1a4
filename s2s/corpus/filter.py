"""Filters that leave pairs out and say how many and why. A pair is counted once, under the first reason that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from s2s.corpus.examples import Ints
from s2s.corpus.formats import Pair

Reason = Literal["empty", "identical", "long_source", "long_target", "ratio", "duplicate"]
_REASONS: tuple[Reason, ...] = ("empty", "identical", "long_source", "long_target", "ratio", "duplicate")
_BLOCK = 1 << 20  # rows that are looked at together: what is made on the way stays small

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """Limits are in tokens and inclusive. `max_ratio` bounds longer / shorter side; None switches a limit off."""

    max_source: int | None = None
    max_target: int | None = None
    max_ratio: float | None = None
    drop_identical: bool = False  # source == target, up to outer white space: untranslated lines
    drop_duplicates: bool = False  # the same pair again: the first stays
    drop_empty: bool = True  # nothing but white space on one side

    @property
    def need_lengths(self) -> bool:
        """True when a limit counts tokens."""
        return not (self.max_source is None and self.max_target is None and self.max_ratio is None)


@dataclass(frozen=True)
class Dropped:
    """How many pairs each reason took, of `total`."""

    total: int
    counts: dict[Reason, int]
    filters: Filters

    @property
    def count(self) -> int:
        """All dropped pairs."""
        return sum(self.counts.values())

    def sentence(self) -> str:
        """One line for people: "dropped 12 of 29,000 pairs: 7 empty on one side, 5 longer than 100 source tokens"."""
        if not self.count:
            return f"kept all {self.total:,} pairs"
        words: dict[Reason, str] = {
            "empty": "empty on one side",
            "identical": "the same on both sides",
            "long_source": f"longer than {self.filters.max_source} source tokens",
            "long_target": f"longer than {self.filters.max_target} target tokens",
            "ratio": f"with one side more than {self.filters.max_ratio:g} times as long as the other"
            if self.filters.max_ratio is not None
            else "",
            "duplicate": "seen before",
        }
        reasons = ", ".join(f"{self.counts[reason]:,} {words[reason]}" for reason in words if self.counts.get(reason))
        return f"dropped {self.count:,} of {self.total:,} pairs: {reasons}"


@dataclass(frozen=True)
class Facts:
    """What filters read of N pairs besides their lengths.

    Attributes:
        empty_N: nothing but white space on one side.
        identical_N: the same on both sides, up to outer white space.
        keys_N: equal where the pairs are.
    """

    empty_N: Flags
    identical_N: Flags
    keys_N: Ints


@dataclass(frozen=True)
class Filtered:
    """The pairs that stay, their rows in what was given (to pick encoded sides alike), and what was dropped."""

    pairs: list[Pair]
    rows: list[int]
    dropped: Dropped


def apply_filters(
    pairs: Sequence[Pair],
    filters: Filters,
    *,
    source_lengths: Sequence[int] | None = None,
    target_lengths: Sequence[int] | None = None,
) -> Filtered:
    """Keep the pairs that pass all filters, in their order. Lengths are token counts without BOS and EOS.

    ValueError when a limit counts tokens and the lengths are not given, or not one a pair.
    """
    sources, targets = _lengths(pairs, filters, source_lengths), _lengths(pairs, filters, target_lengths)
    kept, dropped = filter_rows(facts_of(pairs, filters), filters, sources, targets)
    rows: list[int] = kept.tolist()
    return Filtered([pairs[row] for row in rows], rows, dropped)


def facts_of(pairs: Sequence[Pair], filters: Filters) -> Facts:
    """The facts of pairs that are held in memory; what these filters do not ask for is left blank."""
    empty, identical, keys = np.zeros(len(pairs), bool), np.zeros(len(pairs), bool), np.zeros(len(pairs), np.int64)
    if filters.drop_empty:
        empty[:] = [not (pair.source.strip() and pair.target.strip()) for pair in pairs]
    if filters.drop_identical:
        identical[:] = [pair.source.strip() == pair.target.strip() for pair in pairs]
    if filters.drop_duplicates:
        seen: dict[Pair, int] = {}
        keys[:] = [seen.setdefault(pair, len(seen)) for pair in pairs]
    return Facts(empty, identical, keys)


def filter_rows(facts: Facts, filters: Filters, sources: Ints, targets: Ints) -> tuple[Ints, Dropped]:
    """The rows (of N, in order) that pass all filters with these lengths, and what was dropped."""
    count = len(sources)
    reasons_N = np.zeros(count, np.uint8)  # 0: it stays; else one more than its place among the reasons
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        for number, reason in reversed(list(enumerate(_REASONS[:-1], start=1))):  # the first that fits is written last
            reasons_N[block][_fits(reason, facts, filters, sources, targets, block)] = number
    kept = np.flatnonzero(reasons_N == 0)
    if filters.drop_duplicates:
        first = np.unique(facts.keys_N[kept], return_index=True)[1]
        reasons_N[np.delete(kept, first)] = len(_REASONS)
        kept = np.flatnonzero(reasons_N == 0)
    counts = np.bincount(reasons_N, minlength=len(_REASONS) + 1)[1:].tolist()
    found = {reason: number for reason, number in zip(_REASONS, counts, strict=True) if number}
    return kept, Dropped(count, found, filters)


def _fits(reason: Reason, facts: Facts, filters: Filters, sources: Ints, targets: Ints, block: slice) -> Flags | bool:
    """Which rows of the block a reason other than repetition takes out; False for none."""
    source, target = sources[block], targets[block]
    match reason:
        case "empty":
            return filters.drop_empty and facts.empty_N[block]
        case "identical":
            return filters.drop_identical and facts.identical_N[block]
        case "long_source":
            return filters.max_source is not None and source > filters.max_source
        case "long_target":
            return filters.max_target is not None and target > filters.max_target
        case _:
            shorter = np.maximum(1, np.minimum(source, target))
            return filters.max_ratio is not None and np.maximum(source, target) > filters.max_ratio * shorter


def _lengths(pairs: Sequence[Pair], filters: Filters, lengths: Sequence[int] | None) -> Ints:
    if lengths is None:
        if filters.need_lengths:
            raise ValueError("filters that count tokens need source_lengths and target_lengths")
        return np.zeros(len(pairs), np.int64)
    if len(lengths) != len(pairs):
        raise ValueError(f"{len(lengths)} lengths for {len(pairs)} pairs")
    return np.asarray(lengths, np.int64)
