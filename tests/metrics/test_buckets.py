"""Groups of pairs by length and of words by frequency."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from s2s.metrics.buckets import FREQUENCIES, length_buckets, sentence_chrf, word_counts, word_scores

TEXTS = st.lists(st.lists(st.sampled_from(["a", "bb", "c.", "dd,"]), max_size=12).map(" ".join), max_size=40)


@given(TEXTS)
def test_every_text_is_in_the_one_bucket_of_its_length(texts: list[str]) -> None:
    unit, buckets = length_buckets(texts)
    assert sorted(row for bucket in buckets for row in bucket.rows) == list(range(len(texts)))
    assert len(buckets) <= 5
    for bucket in buckets:
        assert bucket.rows
        for row in bucket.rows:
            length = len(texts[row].split()) if unit == "words" else len(texts[row])
            assert bucket.low <= length <= bucket.high
    for one, other in pairwise(buckets):
        assert one.high + 1 == other.low


def test_buckets_are_of_equal_size_where_lengths_allow() -> None:
    unit, buckets = length_buckets(["x " * length for length in range(3, 23)])
    assert unit == "words"
    assert [len(bucket.rows) for bucket in buckets] == [4] * 5
    assert [(bucket.low, bucket.high) for bucket in buckets][:2] == [(3, 6), (7, 10)]


def test_single_words_are_measured_in_characters() -> None:
    unit, buckets = length_buckets(["2001-05-01", "ab", "abc"])
    assert unit == "characters"
    assert [(bucket.low, bucket.high) for bucket in buckets] == [(2, 2), (3, 3), (4, 10)]


def test_words_are_those_of_bleu() -> None:
    assert word_counts(["A dog, a dog.", "a"]) == {"A": 1, "dog": 2, ",": 1, "a": 2, ".": 1}


def test_word_scores_by_hand() -> None:
    counts = {"the": 50, "cat": 3, "sat": 1}
    found = word_scores(["the the cat ran", "dog"], ["the cat sat", "the cat dog"], counts)
    assert {bounds: tuple(scores) for bounds, scores in found.items()} == {
        (0, 0): (1, 2, 1),  # dog; written: ran, dog
        (1, 1): (1, 0, 0),  # sat
        (2, 4): (2, 1, 1),  # cat twice, written once
        (10, 99): (2, 2, 1),  # the twice in one answer, but once in its reference
    }
    assert found[(0, 0)].f1 == pytest.approx(2 / 3)
    assert (found[(0, 0)].precision, found[(0, 0)].recall) == (0.5, 1.0)
    assert (found[(1, 1)].f1, found[(1, 1)].precision) == (0.0, 0.0)


def test_frequency_bounds_leave_no_gap() -> None:
    assert FREQUENCIES[0][0] == 0
    assert FREQUENCIES[-1][1] is None
    assert all(one[1] is not None and one[1] + 1 == other[0] for one, other in pairwise(FREQUENCIES))


@given(TEXTS)
def test_right_answers_have_a_full_score(texts: list[str]) -> None:
    found = word_scores(texts, texts, word_counts(texts))
    assert all(scores.f1 == 1.0 for scores in found.values())


def test_chrf_of_sentences() -> None:
    assert sentence_chrf(["a cat", ""], ["a cat", "x"]) == [
        CHRF().sentence_score("a cat", ["a cat"]).score, CHRF().sentence_score("", ["x"]).score
    ]  # fmt: skip
