"""Filters that leave pairs out and say how many and why. A pair is counted once, under the first reason that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from s2s.corpus.formats import Pair

Reason = Literal["empty", "identical", "long_source", "long_target", "ratio", "duplicate"]


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
    seen: set[Pair] = set()
    rows: list[int] = []
    counts: Counter[Reason] = Counter()
    for row, pair in enumerate(pairs):
        reason = _reason(pair, sources[row], targets[row], filters)
        if reason is None and filters.drop_duplicates:
            reason = "duplicate" if pair in seen else None
            seen.add(pair)
        if reason is None:
            rows.append(row)
        else:
            counts[reason] += 1
    return Filtered([pairs[row] for row in rows], rows, Dropped(len(pairs), dict(counts), filters))


def _lengths(pairs: Sequence[Pair], filters: Filters, lengths: Sequence[int] | None) -> Sequence[int]:
    if lengths is None:
        if filters.need_lengths:
            raise ValueError("filters that count tokens need source_lengths and target_lengths")
        return [0] * len(pairs)
    if len(lengths) != len(pairs):
        raise ValueError(f"{len(lengths)} lengths for {len(pairs)} pairs")
    return lengths


def _reason(pair: Pair, source: int, target: int, filters: Filters) -> Reason | None:
    if filters.drop_empty and not (pair.source.strip() and pair.target.strip()):
        return "empty"
    if filters.drop_identical and pair.source.strip() == pair.target.strip():
        return "identical"
    if filters.max_source is not None and source > filters.max_source:
        return "long_source"
    if filters.max_target is not None and target > filters.max_target:
        return "long_target"
    if filters.max_ratio is not None and max(source, target) > filters.max_ratio * max(1, min(source, target)):
        return "ratio"
    return None
