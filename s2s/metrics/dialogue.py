"""What replies are like: their words beside the human ones, how varied they are, how many were read somewhere.

Replies come as words; who calls says what a word is. All sums are of whole numbers (means in steps of 2^-40), so that
batches and processes add up to the same bits in any order.
"""

# W words of a reply, E size of a word vector

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Reply = tuple[str, ...]
"""The words of a reply."""

WordVectors = Mapping[str, npt.NDArray[np.floating[Any]]]

_STEP = 1 << 40


@dataclass(frozen=True)
class Mean:
    """(1/n) sum_i v_i: the sum in steps of 2^-40, and n."""

    total: int = 0
    count: int = 0

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        steps = [round(value * _STEP) for value in values]
        return cls(sum(steps), len(steps))

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float | None:
        """None for the mean of nothing."""
        return self.total / _STEP / self.count if self.count else None


@dataclass(frozen=True)
class Variety:
    """How varied replies are, and how long.

    Attributes:
        replies: how often each occurs.
        words, pairs: how often each word occurs, and each two words in a row.
        distinct_1, distinct_2: different ones / all, of each reply that has any.
    """

    replies: Counter[Reply] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    distinct_1: Mean = Mean()
    distinct_2: Mean = Mean()

    @classmethod
    def of(cls, replies: Sequence[Reply]) -> Variety:
        pairs = [list(pairwise(reply)) for reply in replies]
        return cls(
            Counter(replies),
            Counter(word for reply in replies for word in reply),
            Counter(pair for row in pairs for pair in row),
            Mean.of(len(set(reply)) / len(reply) for reply in replies if reply),
            Mean.of(len(set(row)) / len(row) for row in pairs if row),
        )

    def __add__(self, other: Variety) -> Variety:
        return Variety(
            self.replies + other.replies,
            self.words + other.words,
            self.pairs + other.pairs,
            self.distinct_1 + other.distinct_1,
            self.distinct_2 + other.distinct_2,
        )

    def scores(self) -> dict[str, Any]:
        """distinct-n (Li et al. 2016) over the corpus, with both counts, and as the mean of replies; the mean length;
        the entropy of words in bits; the most frequent reply and its share. Empty for no replies."""
        count = self.replies.total()
        if not count:
            return {}
        ((most, times),) = Counter(dict(sorted(self.replies.items()))).most_common(1)  # of equals the first by spelling
        return {
            "replies": count,
            "length": self.words.total() / count,
            **_distinct("distinct_1", self.words, self.distinct_1),
            **_distinct("distinct_2", self.pairs, self.distinct_2),
            "entropy": _entropy(self.words),
            "most_frequent": " ".join(most),
            "most_frequent_share": times / count,
        }


@dataclass(frozen=True)
class Likeness:
    """How like the human replies the answers are; means over replies.

    Attributes:
        f1: `unigram_f1`.
        average, extrema, greedy: cosines by word vectors (`embedding_scores`).
        unknown: human replies without a word that has a vector; they are left out of these three.
    """

    f1: Mean = Mean()
    average: Mean = Mean()
    extrema: Mean = Mean()
    greedy: Mean = Mean()
    unknown: int = 0

    @classmethod
    def of(cls, replies: Sequence[Reply], references: Sequence[Reply], vectors: WordVectors | None = None) -> Likeness:
        """ValueError where there are not as many replies as references."""
        both = list(zip(replies, references, strict=True))
        f1 = Mean.of(unigram_f1(reply, reference) for reply, reference in both)
        if vectors is None:
            return cls(f1)
        cosines = [embedding_scores(reply, reference, vectors) for reply, reference in both]
        known = [found for found in cosines if found is not None]
        average, extrema, greedy = (Mean.of(found[column] for found in known) for column in range(3))
        return cls(f1, average, extrema, greedy, len(cosines) - len(known))

    def __add__(self, other: Likeness) -> Likeness:
        return Likeness(
            self.f1 + other.f1,
            self.average + other.average,
            self.extrema + other.extrema,
            self.greedy + other.greedy,
            self.unknown + other.unknown,
        )

    def scores(self) -> dict[str, Any]:
        """The means, and over how many replies those of word vectors are; what was not measured is not there."""
        means = {
            "unigram_f1": self.f1.value,
            "embedding_average": self.average.value,
            "embedding_extrema": self.extrema.value,
            "embedding_greedy": self.greedy.value,
        }
        counts = {"embedding_replies": self.average.count, "embedding_unknown": self.unknown}
        found: dict[str, Any] = {name: value for name, value in means.items() if value is not None}
        return found | (counts if self.average.count or self.unknown else {})


@dataclass(frozen=True)
class Spread:
    """How different several replies to one context are: the share of different ones among them, and 1 - unigram F1 of
    every two of them; means over contexts."""

    different: Mean = Mean()
    distance: Mean = Mean()

    @classmethod
    def of(cls, samples: Sequence[Sequence[Reply]]) -> Spread:
        """`samples` has the replies to a context in each entry; those with fewer than two are left out."""
        several = [replies for replies in samples if len(replies) > 1]
        return cls(
            Mean.of(len(set(replies)) / len(replies) for replies in several),
            Mean.of(_distance(replies) for replies in several),
        )

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.different + other.different, self.distance + other.distance)

    def scores(self) -> dict[str, Any]:
        """Empty where no context had two replies."""
        if not self.different.count:
            return {}
        return {"samples_different": self.different.value, "samples_distance": self.distance.value}


def copies(replies: Iterable[Reply], training: Collection[Reply]) -> Mean:
    """The share of replies that stand in the training set word for word; `training` should be a set."""
    return Mean.of(float(reply in training) for reply in replies)


def unigram_f1(reply: Sequence[str], reference: Sequence[str]) -> float:
    """2 m / (words of the reply + words of the reference), where m words are in both, each as often as in either.

    1 where both are empty.
    """
    total = len(reply) + len(reference)
    return 2 * (Counter(reply) & Counter(reference)).total() / total if total else 1.0


def embedding_scores(
    reply: Sequence[str], reference: Sequence[str], vectors: WordVectors
) -> tuple[float, float, float] | None:
    """Cosines of the words that have a vector (Liu et al. 2016, arXiv 1603.08023, section 3.2).

    Average: of the mean vectors. Extrema: of the vectors that have in each dimension the value farthest from zero.
    Greedy: each word's largest cosine with a word of the other side, the mean over words, and of both directions.
    0 where no word of the reply has a vector; None where none of the reference has.
    """
    written_WE, wanted_WE = (_rows(words, vectors) for words in (reply, reference))
    if not len(wanted_WE):
        return None
    if not len(written_WE):
        return 0.0, 0.0, 0.0
    cosines_WW = _unit(written_WE) @ _unit(wanted_WE).T
    greedy = (cosines_WW.max(0).mean() + cosines_WW.max(1).mean()) / 2
    average = _cosine(written_WE.mean(0), wanted_WE.mean(0))
    return average, _cosine(_extremes(written_WE), _extremes(wanted_WE)), float(greedy)


def _distinct(name: str, counts: Counter[Any], each: Mean) -> dict[str, Any]:
    total = counts.total()
    return {
        name: len(counts) / total if total else 0.0,
        f"{name}_different": len(counts),
        f"{name}_all": total,
        f"{name}_per_reply": each.value if each.count else 0.0,
    }


def _entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return math.fsum(-count / total * math.log2(count / total) for count in counts.values()) + 0.0  # never -0.0


def _distance(replies: Sequence[Reply]) -> float:
    distances = [1 - unigram_f1(one, other) for one, other in combinations(replies, 2)]
    return math.fsum(distances) / len(distances)


def _rows(words: Sequence[str], vectors: WordVectors) -> npt.NDArray[np.float64]:
    return np.array([vectors[word] for word in words if word in vectors], np.float64)


def _unit(rows_WE: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows_WE, axis=1, keepdims=True)
    found: npt.NDArray[np.float64] = rows_WE / np.where(lengths > 0, lengths, 1.0)
    return found


def _cosine(one_E: npt.NDArray[np.float64], other_E: npt.NDArray[np.float64]) -> float:
    return float(_unit(one_E[None])[0] @ _unit(other_E[None])[0])


def _extremes(rows_WE: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.take_along_axis(rows_WE, np.abs(rows_WE).argmax(0)[None], 0)[0]
    return found
