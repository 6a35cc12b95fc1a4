"""Where scores are won and lost: pairs by length, and words by frequency (compare-mt, Neubig et al. 2019)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Literal, NamedTuple, cast

from s2s.metrics.text import Tokenize, bleu

FREQUENCIES = ((0, 0), (1, 1), (2, 4), (5, 9), (10, 99), (100, 999), (1_000, None))
"""Bounds of the frequency buckets, both inclusive."""


class LengthBucket(NamedTuple):
    """The rows whose text has `low` to `high` words (or characters)."""

    low: int
    high: int
    rows: list[int]


class WordScores(NamedTuple):
    """Words whose frequency is in a bucket: in references and answers, and matched in both."""

    references: int
    answers: int
    matched: int

    @property
    def precision(self) -> float:
        return self.matched / self.answers if self.answers else 0.0

    @property
    def recall(self) -> float:
        return self.matched / self.references if self.references else 0.0

    @property
    def f1(self) -> float:
        """2 matched / (references + answers); 0.0 for no words."""
        total = self.references + self.answers
        return 2 * self.matched / total if total else 0.0


def length_buckets(texts: Sequence[str], *, most: int = 5) -> tuple[Literal["words", "characters"], list[LengthBucket]]:
    """Up to `most` groups of nearly equal numbers of texts, by length; equal lengths stay together.

    Lengths are words between white space; characters where half the texts have fewer than three words.
    """
    if not texts:
        return "words", []
    words = [len(text.split()) for text in texts]
    lengths = words if median(words) >= 3 else [len(text.strip()) for text in texts]
    ordered = sorted(lengths)
    ends = sorted({ordered[(len(ordered) * part + most - 1) // most - 1] for part in range(1, most + 1)})
    rows: list[list[int]] = [[] for _ in ends]
    for row, length in enumerate(lengths):
        rows[bisect_left(ends, length)].append(row)
    lows = [ordered[0], *(end + 1 for end in ends[:-1])]
    found = [LengthBucket(*bucket) for bucket in zip(lows, ends, rows, strict=True)]
    return "words" if lengths is words else "characters", found


def word_counts(texts: Iterable[str], *, tokenize: Tokenize = "13a") -> Counter[str]:
    """How often each word stands in the texts; words as BLEU's tokenizer sees them, cased."""
    split = _tokenizer(tokenize)
    return Counter(word for text in texts for word in split(text).split())


def word_scores(
    answers: Sequence[str], references: Sequence[str], counts: Mapping[str, int], *, tokenize: Tokenize = "13a"
) -> dict[tuple[int, int | None], WordScores]:
    """For each bucket of `FREQUENCIES` that has words: how many there are and how many answers got right.

    A word of an answer matches one of its reference, wherever it stands and each at most once.
    """
    split = _tokenizer(tokenize)
    sums: dict[tuple[int, int | None], list[int]] = {bounds: [0, 0, 0] for bounds in FREQUENCIES}
    for answer, reference in zip(answers, references, strict=True):
        written, wanted = Counter(split(answer).split()), Counter(split(reference).split())
        for column, words in enumerate((wanted, written, wanted & written)):
            for word, number in words.items():
                sums[_bucket(counts.get(word, 0))][column] += number
    return {bounds: WordScores(*total) for bounds, total in sums.items() if any(total)}


def sentence_chrf(answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each sentence, as sacreBLEU scales it."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return [metric.sentence_score(one, [other]).score for one, other in zip(answers, references, strict=True)]


def _bucket(count: int) -> tuple[int, int | None]:
    return next(bounds for bounds in FREQUENCIES if bounds[1] is None or count <= bounds[1])


def _tokenizer(tokenize: Tokenize) -> Callable[[str], str]:
    return cast(Callable[[str], str], bleu(tokenize).tokenizer)
