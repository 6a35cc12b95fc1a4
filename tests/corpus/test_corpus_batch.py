"""Batches: each row once, the budget kept, repeatable; tensors padded, shifted and reversed as promised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.batch import Batch, make_batch, plan_epoch
from s2s.corpus.examples import Example, encode_pairs
from s2s.corpus.read import Pair
from s2s.errors import UserError
from s2s.text.tokenizer import train_tokenizer
from s2s.text.vocab import BOS, EOS, PAD

lengths = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=60)
limits = st.tuples(st.none() | st.integers(1, 9), st.none() | st.integers(1, 120)).filter(any)
ids = st.lists(st.integers(4, 99), max_size=6)
some_examples = st.lists(st.builds(Example, ids, ids), min_size=1, max_size=6)


def plan(rows: list[tuple[int, int]], **options: Any) -> list[list[int]]:
    asked = {"size": None, "tokens": None, "seed": 1, "epoch": 1} | options
    return list(plan_epoch([s for s, _ in rows], [t for _, t in rows], **asked))


def cost(rows: list[tuple[int, int]], batch: list[int]) -> int:
    return len(batch) * (max(rows[i][0] for i in batch) + max(rows[i][1] for i in batch) + 2)


@given(lengths, limits, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_each_row_once_and_within_the_limits(
    rows: list[tuple[int, int]], limit: tuple[int | None, int | None], seed: int, epoch: int, shuffle: bool
) -> None:
    size, tokens = limit
    options = {"size": size, "tokens": tokens, "seed": seed, "epoch": epoch, "shuffle": shuffle}
    batches = plan(rows, **options)
    assert sorted(i for batch in batches for i in batch) == list(range(len(rows)))
    assert all(batches)
    assert size is None or all(len(batch) <= size for batch in batches)
    assert tokens is None or all(len(batch) == 1 or cost(rows, batch) <= tokens for batch in batches)
    assert batches == plan(rows, **options)
    if epoch == 0 and rows:
        assert cost(rows, batches[0]) == max(cost(rows, batch) for batch in batches)


@given(lengths, st.integers(2, 9))
def test_pools_do_not_lose_rows(rows: list[tuple[int, int]], pool: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s2s.corpus.batch._POOL", pool)
        for options in ({"size": 3}, {"tokens": 40}, {"size": 3, "tokens": 40}):
            assert sorted(i for batch in plan(rows, **options) for i in batch) == list(range(len(rows)))


def many(count: int) -> list[tuple[int, int]]:
    rng = np.random.RandomState(0)
    sources = rng.poisson(12, count) + 1
    return list(zip(sources.tolist(), (sources + rng.randint(0, 6, count)).tolist(), strict=True))


def test_seed_and_epoch_change_the_plan() -> None:
    rows = many(300)
    plans = [plan(rows, size=16, seed=seed, epoch=epoch) for seed, epoch in ((1, 1), (1, 2), (2, 1))]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    groups = [{frozenset(batch) for batch in found} for found in plans]
    assert groups[0] != groups[1]  # other company, not only another order


def test_batches_are_shuffled_but_not_without_shuffle() -> None:
    rows = many(1000)
    firsts = [rows[batch[0]][0] for batch in plan(rows, size=20)]
    assert firsts != sorted(firsts)
    ordered = plan(rows, size=20, shuffle=False)
    assert [rows[batch[0]][0] for batch in ordered] == sorted(rows[batch[0]][0] for batch in ordered)
    assert ordered == plan(rows, size=20, shuffle=False, seed=9, epoch=4)


def test_little_padding_and_equal_source_lengths() -> None:
    rows = many(5000)
    batches = plan(rows, size=32)
    assert len(batches) == 157
    assert padding_share(batches, [s for s, _ in rows]) < 0.01
    assert padding_share(batches, [t for _, t in rows]) < 0.08
    equal = sum(len({rows[i][0] for i in batch}) == 1 for batch in batches)
    assert equal > 0.8 * len(batches)
    unsorted = [list(range(i, min(i + 32, 5000))) for i in range(0, 5000, 32)]
    assert padding_share(unsorted, [s for s, _ in rows]) > 0.3


def test_a_pair_over_the_budget_stands_alone() -> None:
    batches = plan([(3, 3), (50, 50), (3, 3)], tokens=20, epoch=0)
    assert batches[0] == [1]
    assert [sorted(batch) for batch in batches[1:]] == [[0, 2]]


def test_the_budget_is_filled() -> None:
    assert sorted(map(len, plan([(4, 4)] * 25, tokens=100))) == [5, 10, 10]
    assert sorted(map(len, plan([(4, 4)] * 25, tokens=99))) == [7, 9, 9]
    assert sorted(map(len, plan([(4, 4)] * 25, tokens=100, size=8))) == [1, 8, 8, 8]


def test_an_empty_corpus_has_no_batches() -> None:
    for epoch in (0, 1):
        assert plan([], size=4, epoch=epoch) == plan([], tokens=4, epoch=epoch) == []


def test_bad_limits() -> None:
    with pytest.raises(UserError, match=r"a batch needs a limit: give its size in sentences, a budget"):
        plan([(1, 1)])
    with pytest.raises(UserError, match="limit size must be 1 or more, got 0"):
        plan([(1, 1)], size=0)
    with pytest.raises(UserError, match="limit tokens must be 1 or more, got -5"):
        plan([(1, 1)], tokens=-5)
    with pytest.raises(ValueError, match="1 source lengths, 2 target lengths"):
        plan_epoch([1], [1, 2], size=1, tokens=None, seed=1, epoch=1)


@pytest.mark.parametrize(
    ("size", "tokens", "pool", "epoch", "shuffle", "digest"),
    [
        (16, None, None, 0, True, "d202ba4572f5257b"),
        (16, None, None, 0, False, "31cc6771bb577d0c"),
        (16, None, 1, 2, True, "e95f3d48734bb01d"),
        (None, 300, None, 0, True, "8abb980cde8a3ba2"),
        (None, 300, None, 2, False, "09d9102c021abb23"),
        (None, 300, 1, 0, True, "409a671984a2f061"),
        (None, 300, 3, 2, True, "e6119c7e1f28a9ae"),
        (8, 200, 3, 0, True, "f83a52808526b5f1"),
        (8, 200, None, 2, True, "e68c96faa3e28830"),
    ],
)
def test_plans_stay_what_they_were(
    size: int | None, tokens: int | None, pool: int | None, epoch: int, *, shuffle: bool, digest: str
) -> None:
    """A run that is resumed by a later version goes on in the same order. Unsigned lengths of 4 bytes plan alike."""
    rng = np.random.RandomState(3000)
    sources = rng.poisson(9, 3000)
    targets = sources + rng.randint(0, 9, 3000)
    asked = {"size": size, "tokens": tokens, "seed": 3, "epoch": epoch, "shuffle": shuffle, "pool": pool}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s2s.corpus.batch._POOL", 100)
        for dtype in (np.int64, np.uint32):
            found = plan_epoch(sources.astype(dtype), targets.astype(dtype), **asked)
            assert hashlib.sha256(json.dumps(list(found)).encode()).hexdigest()[:16] == digest


def padding_share(plan: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The part of one side's padded positions that is padding."""
    used = sum(lengths[row] for rows in plan for row in rows)
    return 1 - used / sum(len(rows) * max(lengths[row] for row in rows) for rows in plan)


# ---- tensors ----

EXAMPLES = [Example([5, 6, 7], [8, 9]), Example([5], []), Example([4, 5], [6, 7, 8])]


def batch_of(rows: list[int], *, reverse: bool = False) -> Batch:
    return make_batch([EXAMPLES[row] for row in rows], rows, reverse_source=reverse)


def test_a_batch_in_numbers() -> None:
    batch = batch_of([2, 0])
    assert batch.source_BS.tolist() == [[4, 5, PAD], [5, 6, 7]]
    assert batch.source_lengths_B.tolist() == [2, 3]
    assert batch.target_in_BT.tolist() == [[BOS, 6, 7, 8], [BOS, 8, 9, PAD]]
    assert batch.target_out_BT.tolist() == [[6, 7, 8, EOS], [8, 9, EOS, PAD]]
    assert batch.target_lengths_B.tolist() == [4, 3]
    assert (batch.rows, batch.tokens) == ([2, 0], 7)


def test_reversal_stays_inside_the_length() -> None:
    assert batch_of([0, 2], reverse=True).source_BS.tolist() == [[7, 6, 5], [5, 4, PAD]]


@given(some_examples, st.booleans())
def test_tensors_hold_the_examples(examples: list[Example], reverse: bool) -> None:
    batch = make_batch(examples, range(len(examples)), reverse_source=reverse)
    for b, example in enumerate(examples):
        source = [*(example.source[::-1] if reverse else example.source)]
        length, size = int(batch.source_lengths_B[b]), int(batch.target_lengths_B[b])
        assert batch.source_BS[b, :length].tolist() == source
        assert batch.target_in_BT[b, :size].tolist() == [BOS, *example.target]
        assert batch.target_out_BT[b, :size].tolist() == [*example.target, EOS]
        assert bool((batch.source_BS[b, length:] == PAD).all())
        assert bool((batch.target_in_BT[b, size:] == PAD).all())
        assert bool((batch.target_out_BT[b, size:] == PAD).all())
    assert batch.tokens == int(batch.target_lengths_B.sum()) == int((batch.target_out_BT != PAD).sum())
    assert batch.source_BS.shape[1] == max(1, int(batch.source_lengths_B.max()))
    assert {t.dtype for t in (batch.source_BS, batch.target_in_BT, batch.source_lengths_B)} == {torch.int64}


def test_to_moves_every_tensor() -> None:
    moved = batch_of([0, 1]).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 5
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert (moved.rows, moved.tokens) == ([0, 1], 4)


def test_encode_pairs() -> None:
    pairs = [Pair("ab", "c"), Pair("b", "cc")]
    source = train_tokenizer("characters", [pair.source for pair in pairs])
    target = train_tokenizer("characters", [pair.target for pair in pairs])
    assert encode_pairs(pairs, source, target) == [Example([5, 4], [4]), Example([4], [4, 4])]
