"""Shares of an epoch: counts, whole passes, what is drawn, and that nothing but seed and epoch decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.mix import Mix

SEEDS = st.integers(0, 99)


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    weights = draw(st.lists(st.floats(0.01, 100), min_size=len(sizes), max_size=len(sizes)))
    return Mix(tuple(sizes), tuple(weights))


def parts(mix: Mix, rows: list[int]) -> list[Counter[int]]:
    """How often each row of each corpus comes."""
    ends = np.cumsum(mix.sizes).tolist()
    return [Counter(row for row in rows if end - size <= row < end) for size, end in zip(mix.sizes, ends, strict=True)]


@given(mixes(), SEEDS, SEEDS)
def test_every_corpus_gives_its_share_in_whole_passes_and_a_rest(mix: Mix, seed: int, epoch: int) -> None:
    rows = mix.rows(seed, epoch).tolist()
    total, weight = sum(mix.sizes), sum(mix.weights)
    assert 0 <= min(rows) <= max(rows) < total
    for size, own, seen in zip(mix.sizes, mix.weights, parts(mix, rows), strict=True):
        count = max(1, round(total * own / weight))
        assert seen.total() == count
        times = [seen[row] for row in seen]
        assert max(times) <= -(-count // size)
        if count >= size:
            assert len(seen) == size
            assert min(times) >= count // size


@given(mixes(), SEEDS, SEEDS)
def test_seed_and_epoch_decide_alone(mix: Mix, seed: int, epoch: int) -> None:
    assert mix.rows(seed, epoch).tolist() == mix.rows(seed, epoch).tolist()


def test_other_epochs_and_seeds_draw_others() -> None:
    mix = Mix((100, 1000), (1.0, 1.0))
    assert mix.counts() == [550, 550]
    drawn = [frozenset(mix.rows(seed, epoch).tolist()) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert len(set(drawn)) == 3


def test_all_of_a_large_corpus_comes_in_a_few_epochs() -> None:
    mix = Mix((100, 1000), (1.0, 1.0))
    seen = {row for epoch in range(15) for row in mix.rows(1, epoch).tolist()}
    assert len(seen) == 1100


def test_weights_as_the_sizes_give_every_pair_once() -> None:
    assert Mix((3, 5), (3.0, 5.0)).rows(1, 0).tolist() == list(range(8))
