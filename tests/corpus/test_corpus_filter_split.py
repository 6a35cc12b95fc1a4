"""Filters count what they drop; splits do not leak; the overlap is counted; the hash sees every change."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.filter import Filters, apply_filters
from s2s.corpus.order import random_order
from s2s.corpus.read import Pair
from s2s.corpus.split import corpus_hash, hold_out, overlap
from s2s.errors import UserError

short = st.text("ab ", max_size=3)
some_pairs = st.lists(st.builds(Pair, short, short), max_size=30)


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_every_reason_is_counted_once_and_said() -> None:
    pairs = [
        Pair("a b", "c d"),
        Pair(" ", "c"),
        Pair("c", ""),
        Pair("a", "a "),
        Pair("a b c d e", "a b c d x"),
        Pair("a b c d", "a b c d x"),
        Pair("a", "b c d"),
        Pair("a b", "c d"),
    ]
    filters = Filters(max_source=4, max_target=4, max_ratio=2, drop_identical=True, drop_duplicates=True)
    lengths = {"source_lengths": words([p.source for p in pairs]), "target_lengths": words([p.target for p in pairs])}
    result = apply_filters(pairs, filters, **lengths)
    assert result.pairs == [Pair("a b", "c d")]
    assert result.rows == [0]
    assert result.dropped.count == 7
    assert result.dropped.sentence() == (
        "dropped 7 of 8 pairs: 2 empty on one side, 1 the same on both sides, 1 longer than 4 source tokens, "
        "1 longer than 4 target tokens, 1 with one side more than 2 times as long as the other, 1 seen before"
    )


def test_numbers_have_thousands_separators() -> None:
    pairs = [Pair("a", "b")] * 1500 + [Pair("", "b")] * 1500
    assert apply_filters(pairs, Filters()).dropped.sentence() == (
        "dropped 1,500 of 3,000 pairs: 1,500 empty on one side"
    )


def test_limits_are_inclusive() -> None:
    pairs, lengths = [Pair("x", "y")] * 3, ([2, 3, 3], [4, 4, 5])
    for filters, rows in (
        (Filters(max_source=2), [0]),
        (Filters(max_target=4), [0, 1]),
        (Filters(max_ratio=2.0), [0, 1, 2]),
        (Filters(max_ratio=1.5), [1]),
    ):
        assert apply_filters(pairs, filters, source_lengths=lengths[0], target_lengths=lengths[1]).rows == rows


def test_nothing_is_dropped_when_all_is_off() -> None:
    pairs = [Pair("", ""), Pair("a", "a"), Pair("a", "a")]
    result = apply_filters(pairs, Filters(drop_empty=False))
    assert result.pairs == pairs
    assert result.dropped.sentence() == "kept all 3 pairs"


def test_token_limits_need_lengths() -> None:
    with pytest.raises(ValueError, match="need source_lengths"):
        apply_filters([Pair("a", "b")], Filters(max_source=3))
    with pytest.raises(ValueError, match="2 lengths for 1 pairs"):
        apply_filters([Pair("a", "b")], Filters(max_source=3), source_lengths=[1, 1], target_lengths=[1])


@given(some_pairs, st.booleans(), st.booleans(), st.booleans())
def test_kept_and_dropped_make_the_whole(pairs: list[Pair], identical: bool, duplicates: bool, empty: bool) -> None:
    filters = Filters(drop_identical=identical, drop_duplicates=duplicates, drop_empty=empty)
    result = apply_filters(pairs, filters)
    assert len(result.pairs) + result.dropped.count == result.dropped.total == len(pairs)
    assert [pairs[row] for row in result.rows] == result.pairs
    assert apply_filters(result.pairs, filters).pairs == result.pairs


# ---- splits ----


@given(some_pairs, st.integers(1, 20), st.integers(0, 5))
def test_hold_out_shares_no_source(pairs: list[Pair], count: int, seed: int) -> None:
    groups = Counter(pair.source for pair in pairs).values()
    try:
        train, held = hold_out(pairs, count=count, seed=seed)
    except UserError:
        assert count >= len(pairs) or min(groups) > count  # nothing would be left, or no group is small enough
        return
    assert 1 <= len(held) <= count
    assert sorted(train + held) == sorted(pairs)
    assert not {pair.source for pair in train} & {pair.source for pair in held}
    assert (train, held) == hold_out(pairs, count=count, seed=seed)


def test_hold_out_is_random_by_seed_and_keeps_the_order() -> None:
    pairs = [Pair(str(i), "x") for i in range(200)]
    train, held = hold_out(pairs, count=20, seed=1)
    assert len(held) == 20
    assert held == sorted(held, key=pairs.index)
    assert train == [pair for pair in pairs if pair not in held]
    assert held != hold_out(pairs, count=20, seed=2)[1]
    assert held != pairs[:20]


@pytest.mark.parametrize("count", [0, 3, 9])
def test_hold_out_needs_two_sides(count: int) -> None:
    with pytest.raises(UserError, match=rf"cannot hold {count} of 3 pairs \(3 different sources\) out .*at least one"):
        hold_out([Pair("a", "x"), Pair("b", "x"), Pair("c", "x")], count=count, seed=1)


def test_what_cannot_be_held_out_is_called_by_its_name() -> None:
    with pytest.raises(UserError, match=r"1 of 1 pair \(1 different source\) .* \(data\.valid_size\), .* \(--valid\)"):
        hold_out([Pair("a", "x")], count=1, seed=1)
    with pytest.raises(
        UserError, match=r"1 of 1 dialogue \(1 different first turn\) .* of one turn does not count.*\(--valid\)"
    ):
        hold_out([("a", "b", "c")], count=1, seed=1)
    with pytest.raises(UserError, match=r"2 of 2 dialogues \(2 different first turns\)"):
        hold_out([("a", "b"), ("c", "d")], count=2, seed=1)


def test_overlap_counts_pairs_and_sources() -> None:
    train = [Pair("a", "1"), Pair("b", "2"), Pair("b", "3")]
    found = overlap(train, [Pair("a", "1"), Pair("a", "1"), Pair("b", "9"), Pair("c", "1")])
    assert (found.pairs, found.sources, found.total) == (2, 3, 4)
    assert found.sentence().startswith(
        "3 of 4 test pairs (75.0 %) have a source that also stands in the training set, 2 of"
    )
    assert found
    none = overlap(train, [Pair("x", "1")])
    assert not none
    assert none.sentence() == "none of the 1 test pairs stands in the training set"


def test_corpus_hash_sees_order_borders_and_sides() -> None:
    corpora = [
        [],
        [Pair("a", "b")],
        [Pair("b", "a")],
        [Pair("ab", "")],
        [Pair("a", "b"), Pair("c", "d")],
        [Pair("c", "d"), Pair("a", "b")],
        [Pair("a", "bc"), Pair("", "d")],
    ]
    assert len({corpus_hash(pairs) for pairs in corpora}) == len(corpora)
    assert corpus_hash(iter(corpora[4])) == corpus_hash(corpora[4])
    assert corpus_hash([Pair("ä", "\ud800")]) == corpus_hash([Pair("ä", "\ud800")])


# ---- orders ----


def test_random_order_is_frozen() -> None:
    # These numbers hold for every machine and every NumPy: resumed runs depend on it.
    assert random_order(10, 1, 2).tolist() == [5, 6, 9, 3, 2, 1, 0, 8, 4, 7]
    assert random_order(0, 1).tolist() == []


@given(st.integers(0, 200), st.integers(0, 2**63))
def test_random_order_is_a_permutation(count: int, seed: int) -> None:
    assert sorted(random_order(count, seed).tolist()) == list(range(count))
