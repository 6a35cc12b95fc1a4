"""Kneser-Ney: a worked example, probabilities that sum to 1, and what padding, order and unseen words do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.evaluation.kneser_ney import KneserNey

SIZE = 5
SEQUENCES = st.lists(st.lists(st.integers(0, SIZE - 1), max_size=7), max_size=6).filter(any)


def next_words(model: KneserNey, history: list[int]) -> list[float]:
    """p(w | history) of every word w."""
    scores = model.scores([history, *([*history, word] for word in range(model.size))])
    return [math.exp(score - scores[0]) for score in scores[1:]]


def test_a_worked_example() -> None:
    """Three sequences a b, a b, c b over the words a, b, c (0, 1, 2); < begins each.

    Bigrams: (< a) 2, (a b) 2, (< c) 1, (c b) 1, so D_2 = 2 / (2 + 2 * 2) = 1/3. Words before a: <; before c: <; before
    b: a, c. So c_1 = 1, 2, 1, of which two are 1 and one is 2: D_1 = 2 / (2 + 2) = 1/2.
    p(a) = .5 / 4 + (.5 * 3 / 4) / 3 = 1/4, p(b) = 1.5 / 4 + 1/8 = 1/2, p(c) = 1/4.
    p(b | a) = (2 - 1/3) / 2 + (1/3) / 2 * 1/2 = 11/12; p(a | <) = (2 - 1/3) / 3 + (2/3) / 3 * 1/4 = 11/18.
    After b nothing was ever said: p(c | b) = p(c).
    """
    model = KneserNey.fit([[0, 1], [0, 1], [2, 1]], order=2, size=3)
    assert [order.discount for order in model.orders] == pytest.approx([1 / 2, 1 / 3])
    assert next_words(model, []) == pytest.approx([11 / 18, 1 / 9, (1 - 1 / 3) / 3 + 2 / 9 / 4])
    assert next_words(model, [0]) == pytest.approx([1 / 24, 11 / 12, 1 / 24])
    assert next_words(model, [0, 1]) == pytest.approx([1 / 4, 1 / 2, 1 / 4])
    assert model.scores([[0, 1], [], [0, 1, 2]]) == pytest.approx(np.log([121 / 216, 1, 121 / 864]))


def test_one_word_alone() -> None:
    """Unigrams are counted as they are: c_1 = 3, 1 and D_1 = 1 / (1 + 0), p_0 = 1/4."""
    model = KneserNey.fit([[0, 0, 0, 1]], order=1, size=4)
    assert next_words(model, [2, 3]) == pytest.approx([2 / 4 + 2 / 16, 2 / 16, 2 / 16, 2 / 16])


@given(SEQUENCES, st.integers(1, 4), st.lists(st.integers(0, SIZE - 1), max_size=5))
def test_probabilities_are_positive_and_sum_to_one(told: list[list[int]], order: int, history: list[int]) -> None:
    words = next_words(KneserNey.fit(told, order=order, size=SIZE), history)
    assert sum(words) == pytest.approx(1)
    assert min(words) > 0


@given(SEQUENCES, st.integers(1, 4))
def test_neither_the_order_of_sequences_nor_their_neighbours_matter(told: list[list[int]], order: int) -> None:
    model, other = (KneserNey.fit(sequences, order=order, size=SIZE) for sequences in (told, told[::-1]))
    alone = [float(model.scores([one])[0]) for one in told]
    assert model.scores(told) == pytest.approx(alone)
    assert other.scores(told) == pytest.approx(alone)


def test_the_history_ends_where_a_sequence_begins() -> None:
    model = KneserNey.fit([[0, 1], [1, 0]] * 3, order=3, size=2)
    apart, joined = model.scores([[0, 1], [1, 0]]).sum(), model.scores([[0, 1, 1, 0]])[0]
    assert apart > joined + 0.5


def test_a_longer_history_helps_where_it_tells_more() -> None:
    told = [[0, 2, 3], [1, 2, 4]] * 20
    low, high = (KneserNey.fit(told, order=order, size=SIZE).scores(told).sum() for order in (2, 3))
    assert high > low + 10


def test_what_is_no_order_or_no_word() -> None:
    with pytest.raises(ValueError, match="got order 0 and 1 sequences"):
        KneserNey.fit([[0]], order=0, size=1)
    with pytest.raises(ValueError, match="got order 2 and 1 sequences"):
        KneserNey.fit([[]], order=2, size=1)
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"the id {wrong} is outside a vocabulary of 3"):
            KneserNey.fit([[0, wrong]], order=2, size=3)
        with pytest.raises(ValueError, match=f"the id {wrong} is outside a vocabulary of 3"):
            KneserNey.fit([[0]], order=2, size=3).scores([[wrong]])
