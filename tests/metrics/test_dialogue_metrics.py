"""Metrics of replies, against figures worked out by hand, and that parts add up to the whole in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.metrics.dialogue import Likeness, Mean, Reply, Spread, Variety, copies, embedding_scores, unigram_f1

WORDS = st.lists(st.sampled_from("abcdx"), max_size=6).map(tuple)
REPLIES = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=9)
VECTORS = {
    "a": np.array([1.0, 0.0]),
    "b": np.array([0.0, 2.0]),
    "c": np.array([-3.0, 1.0]),
    "d": np.array([0.0, 0.0]),
}


def reply(text: str) -> Reply:
    return tuple(text.split())


def test_a_mean_is_a_sum_and_a_count() -> None:
    assert (Mean.of([0.1, 0.2]) + Mean.of([0.6])).value == pytest.approx(0.3)
    assert Mean.of([]).value is None


# ---- variety ----


def test_variety_of_three_replies() -> None:
    """Nine words of which five differ; six pairs, all different: i am, am i | i do, do not, not do, do i."""
    scores = Variety.of([reply("i am i"), reply("i do not do i"), reply("yes")]).scores()
    assert scores["replies"] == 3
    assert scores["length"] == pytest.approx(3.0)
    assert (scores["distinct_1_different"], scores["distinct_1_all"]) == (5, 9)
    assert scores["distinct_1"] == pytest.approx(5 / 9)
    assert scores["distinct_1_per_reply"] == pytest.approx((2 / 3 + 3 / 5 + 1) / 3)
    assert (scores["distinct_2_different"], scores["distinct_2_all"]) == (6, 6)
    assert scores["distinct_2_per_reply"] == pytest.approx(1.0)
    shares = [4 / 9, 2 / 9, 1 / 9, 1 / 9, 1 / 9]  # i, do, am, not, yes
    assert scores["entropy"] == pytest.approx(-sum(share * math.log2(share) for share in shares))


def test_the_most_frequent_reply() -> None:
    scores = Variety.of([reply("no"), reply("i see ."), reply("i see ."), reply("no"), reply("")]).scores()
    assert (scores["most_frequent"], scores["most_frequent_share"]) == ("i see .", 0.4)  # of equals the first


def test_empty_replies_and_none() -> None:
    scores = Variety.of([(), ()]).scores()
    assert (scores["length"], scores["distinct_1"], scores["distinct_1_per_reply"], scores["entropy"]) == (0, 0, 0, 0)
    assert scores["most_frequent_share"] == 1.0
    assert Variety().scores() == {}


# ---- likeness ----


@pytest.mark.parametrize(
    ("one", "other", "f1"),
    [("a b c", "a b c", 1.0), ("a a b", "a c", 0.4), ("a", "b", 0.0), ("", "a", 0.0), ("", "", 1.0)],
)
def test_unigram_f1(one: str, other: str, f1: float) -> None:
    assert unigram_f1(reply(one), reply(other)) == pytest.approx(f1)
    assert unigram_f1(reply(other), reply(one)) == pytest.approx(f1)


def test_embedding_scores_by_hand() -> None:
    """a b against c: means (.5, 1) and (-3, 1); extrema (1, 2) and (-3, 1); cosines of c with a -3/sqrt 10, with b
    1/sqrt 10: from c the best is b's, from a b the mean of both."""
    average, extrema, greedy = embedding_scores(reply("a b"), reply("c"), VECTORS) or (0, 0, 0)
    assert average == pytest.approx(-0.5 / (math.sqrt(1.25) * math.sqrt(10)))
    assert extrema == pytest.approx(-1 / (math.sqrt(5) * math.sqrt(10)))
    assert greedy == pytest.approx((1 / math.sqrt(10) + (-3 + 1) / 2 / math.sqrt(10)) / 2)


def test_the_extreme_value_may_be_negative() -> None:
    """a c: (-3, 1), which is c itself."""
    found = embedding_scores(reply("a c"), reply("c"), VECTORS)
    assert found is not None
    assert found[1] == pytest.approx(1.0)


def test_words_without_vectors() -> None:
    assert embedding_scores(reply("a"), reply("x y"), VECTORS) is None
    assert embedding_scores(reply("x"), reply("a"), VECTORS) == (0.0, 0.0, 0.0)
    assert embedding_scores(reply("a x"), reply("y a"), VECTORS) == pytest.approx((1.0, 1.0, 1.0))
    assert embedding_scores(reply("d"), reply("d a"), VECTORS) == pytest.approx((0.0, 0.0, 0.0))  # all zeros


def test_likeness_names_what_it_measured() -> None:
    both = [reply("a"), reply("b")], [reply("a"), reply("x")]
    assert Likeness.of(*both).scores() == {"unigram_f1": 0.5}
    scores = Likeness.of(*both, VECTORS).scores()
    assert scores["embedding_average"] == pytest.approx(1.0)
    assert (scores["embedding_replies"], scores["embedding_unknown"]) == (1, 1)
    assert Likeness().scores() == {}
    with pytest.raises(ValueError, match="zip"):
        Likeness.of([reply("a")], [])


# ---- copies and samples ----


def test_copies_of_training_replies() -> None:
    assert copies([reply("i see ."), reply("i see")], {reply("i see .")}).value == 0.5


def test_spread_over_samples() -> None:
    scores = Spread.of([[reply("a b"), reply("a b"), reply("a c")], [reply("a")], []]).scores()
    assert scores["samples_different"] == pytest.approx(2 / 3)
    assert scores["samples_distance"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert Spread.of([[reply("a")]]).scores() == {}


# ---- parts ----


@given(REPLIES, st.integers(0, 9))
def test_parts_add_up_to_the_whole_in_any_order(both: list[tuple[Reply, Reply]], cut: int) -> None:
    parts = [both, both[:cut], both[cut:]]
    varieties = [Variety.of([one for one, _ in part]) for part in parts]
    likenesses = [Likeness.of([one for one, _ in part], [other for _, other in part], VECTORS) for part in parts]
    spreads = [Spread.of(part) for part in parts]
    for whole, first, second in (varieties, likenesses, spreads):
        assert first + second == second + first == whole  # type: ignore[operator]
        assert (second + first).scores() == whole.scores()  # type: ignore[operator]
