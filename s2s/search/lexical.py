"""Which target tokens go with a source token: IBM model 1 (Brown et al. 1993, "The Mathematics of Statistical Machine
Translation").

p(t | s) is learned by expectation and maximisation: a target token belongs to each source token of its sentence, or to
none of them, in the proportion of p so far.
"""

# E entries: (target position, source position) of one sentence; K different (source, target) tokens

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Ids = Sequence[int]

ENTRIES = 20_000_000
"""Most pairs of positions that are looked at: they take 12 bytes each."""


class Lexicon(NamedTuple):
    """p(t | s) of all tokens seen together, by source token, the likeliest first."""

    source_K: Ints
    target_K: Ints
    p_K: Floats


def learn(pairs: Iterable[tuple[Ids, Ids]], *, target_size: int, iterations: int = 4) -> Lexicon:
    """From pairs of sentences, as many of them as make `ENTRIES`.

    target_size: of the vocabulary.
    """
    key_E, starts = _entries(pairs, target_size)
    if not len(key_E):
        return Lexicon(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    keys_K, place_E = np.unique(key_E, return_inverse=True)
    source_K, target_K = keys_K // target_size - 1, keys_K % target_size
    widths = np.diff([*starts, len(key_E)])
    p_K = np.ones(len(keys_K))
    for _ in range(iterations):
        p_E = p_K[place_E]
        p_E /= np.repeat(np.add.reduceat(p_E, starts), widths)
        count_K = np.bincount(place_E, p_E, len(keys_K))
        p_K = count_K / np.bincount(source_K + 1, count_K)[source_K + 1]
    order_K = np.lexsort((-p_K, source_K))
    order_K = order_K[source_K[order_K] >= 0]  # what belongs to none is not kept
    return Lexicon(source_K[order_K], target_K[order_K], p_K[order_K])


def _entries(pairs: Iterable[tuple[Ids, Ids]], target_size: int) -> tuple[Ints, Ints]:
    """(source + 1) * target_size + target of every entry, none being -1, and where each target position begins."""
    found, widths, total = [], [], 0
    for source, target in pairs:
        rows = np.concatenate([[0], np.asarray(source, np.int64) + 1])
        found.append((rows * target_size + np.asarray(target, np.int64)[:, None]).ravel())
        widths.append(np.full(len(target), len(rows)))
        total += found[-1].size
        if total >= ENTRIES:
            break
    if not total:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    width = np.concatenate(widths)
    return np.concatenate(found), np.cumsum(width) - width
