"""Dialogues as batches of turns, and the plans of an epoch."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.dialogue.batch import DialogueSource, dialogue_batch
from s2s.errors import UserError

DIALOGUES = [[[5, 6], [7]], [[]], [[4, 4, 4, 4], [5], [6, 6]]]


def test_a_batch_holds_every_turn_as_a_row() -> None:
    batch = dialogue_batch(DIALOGUES, [8, 3, 5])
    assert batch.words_RT.tolist() == [
        [5, 6, 2, 0, 0],
        [7, 2, 0, 0, 0],
        [2, 0, 0, 0, 0],
        [4, 4, 4, 4, 2],
        [5, 2, 0, 0, 0],
        [6, 6, 2, 0, 0],
    ]
    assert batch.inputs_RT[:, 0].tolist() == [1] * 6
    assert batch.inputs_RT[0, :3].tolist() == [1, 5, 6]
    assert batch.lengths_R.tolist() == [3, 2, 1, 5, 2, 3]
    assert batch.counts_B.tolist() == [2, 1, 3]
    assert (batch.rows, batch.tokens) == ([8, 3, 5], 16)
    assert batch.extent == "3 turns of up to 5 tokens"
    assert torch.equal(batch.to("cpu").words_RT, batch.words_RT)


LENGTHS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), max_size=25)
LIMITS = st.one_of(st.tuples(st.integers(1, 7), st.none()), st.tuples(st.sampled_from([None, 5]), st.integers(1, 60)))


@given(LENGTHS, LIMITS, st.sampled_from([None, 1, 2, 3]), st.integers(0, 2))
def test_a_plan_holds_each_dialogue_once_within_the_limits(
    lengths: list[list[int]], limits: tuple[int | None, int | None], pool: int | None, epoch: int
) -> None:
    dialogues = [[[4] * length for length in turns] for turns in lengths]
    size, tokens = limits
    source = DialogueSource(dialogues, size, tokens, 7, pool)
    for plan in (source.plan(epoch), source.in_order()):
        assert sorted(chain.from_iterable(plan)) == list(range(len(dialogues)))
        for rows in plan:
            words = source.batch(rows, epoch).words_RT
            assert size is None or 1 <= len(rows) <= size
            assert tokens is None or len(rows) == 1 or words.numel() <= tokens
    again = DialogueSource(dialogues, size, tokens, 7, pool)
    again.plan(epoch + 1)
    assert again.plan(epoch) == source.plan(epoch)  # seed and epoch alone decide


MANY = [[[4] * (1 + (7 * row + turn) % 20) for turn in range(1 + row % 5)] for row in range(200)]


def test_seed_and_epoch_change_the_plan_and_its_batches() -> None:
    plans = [DialogueSource(MANY, None, 300, seed).plan(epoch) for seed, epoch in ((1, 1), (2, 1), (1, 2))]
    assert plans[0] != plans[1] != plans[2] != plans[0]
    sets = [{frozenset(rows) for rows in plan} for plan in plans]
    assert sets[0] != sets[1]


def test_buckets_save_padding() -> None:
    def padded(pool: int | None) -> int:
        source = DialogueSource(MANY, 8, None, 1, pool)
        return sum(source.batch(rows, 1).words_RT.numel() for rows in source.plan(1))

    real = sum(len(turn) + 1 for turns in MANY for turn in turns)
    assert padded(None) < padded(4) < padded(1)
    assert padded(None) < 1.6 * real < padded(1)


def test_the_largest_batch_comes_first() -> None:
    source = DialogueSource(MANY, None, 300, 1)
    sizes = [source.batch(rows, 0).words_RT.numel() for rows in source.plan(0)]
    assert sizes[0] == max(sizes)


def test_a_dialogue_beyond_the_budget_is_a_batch_of_its_own() -> None:
    source = DialogueSource([[[4] * 3] * 1_000, [[5]], [[6]]], None, 100, 1)
    assert [0] in source.plan(1)
    assert len(source.plan(1)) == 2


@pytest.mark.parametrize(("size", "tokens"), [(None, None), (0, None), (None, 0)])
def test_limits_that_make_no_sense_are_refused(size: int | None, tokens: int | None) -> None:
    with pytest.raises(UserError, match="limit"):
        DialogueSource(MANY, size, tokens, 1)
