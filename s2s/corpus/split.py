"""Holding pairs out for validation without leaking them, and how much of a test set stands in the training set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from s2s.corpus.formats import Pair
from s2s.corpus.order import random_order
from s2s.errors import UserError

Texts = TypeVar("Texts", bound=tuple[str, ...])


@dataclass(frozen=True)
class Overlap:
    """Of `total` test pairs, `pairs` stand in train with source and target, `sources` with their source at least."""

    pairs: int
    sources: int
    total: int

    def __bool__(self) -> bool:
        return self.sources > 0

    def sentence(self) -> str:
        """One line for the warning."""
        if not self:
            return f"none of the {self.total:,} test pairs stands in the training set"
        share = 100 * self.sources / self.total
        return (
            f"{self.sources:,} of {self.total:,} test pairs ({share:.1f} %) have a source that also stands in the "
            f"training set, {self.pairs:,} of them with the same target: the scores flatter the model"
        )


def hold_out(pairs: Sequence[Texts], *, count: int, seed: int) -> tuple[list[Texts], list[Texts]]:
    """(train, held): `count` random pairs (or dialogues) are held out, the same ones for the same seed; both keep the
    corpus order.

    All pairs of one source (dialogues with one first turn) go to one side, so a little fewer than `count` may be held
    when sources repeat (or more, where every source repeats more often than that: then the rarest goes). UserError when
    nothing would be left on one side.
    """
    groups: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        groups.setdefault(pair[0], []).append(row)
    rows_of = list(groups.values())
    held: set[int] = set()
    for group in random_order(len(rows_of), seed).tolist():
        if len(held) + len(rows_of[group]) <= count:
            held.update(rows_of[group])
        if len(held) == count:
            break
    if not held and rows_of and count > 0:
        held.update(sorted(rows_of, key=len)[0])
    if not held or len(held) == len(pairs):
        told = bool(pairs) and not isinstance(pairs[0], Pair)
        raise not_both_sides(count, len(pairs), len(groups), dialogues=told)
    return [p for i, p in enumerate(pairs) if i not in held], [pairs[i] for i in sorted(held)]


def not_both_sides(count: int, total: int, groups: int, *, dialogues: bool = False) -> UserError:
    """The error for a part of `total` pairs (or dialogues), of so many different sources, that can't be held out."""
    whole, first = ("dialogue", "first turn") if dialogues else ("pair", "source")
    said = f"{total:,} {whole}{'s' * (total != 1)} ({groups:,} different {first}{'s' * (groups != 1)})"
    lone = " A dialogue of one turn does not count." * dialogues
    return UserError(
        f"cannot hold {count:,} of {said} out for validation: both sides need at least one.{lone} Hold out another"
        " number (data.valid_size), or give a validation file (--valid)."
    )


def overlap(train: Iterable[Pair], test: Sequence[Pair]) -> Overlap:
    """How many pairs, and how many sources, of the test set stand word for word in the training set."""
    known = set(train)
    sources = {pair.source for pair in known}
    return Overlap(sum(pair in known for pair in test), sum(pair.source in sources for pair in test), len(test))


def corpus_hash(pairs: Iterable[tuple[str, ...]]) -> str:
    """SHA-256 over all texts in their order; lengths are hashed too, so that no two corpora run together."""
    digest = hashlib.sha256()
    for pair in pairs:
        for text in pair:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
    return digest.hexdigest()
