"""The vocabulary: fixed specials, a deterministic order, ids and words as inverses."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

plain = st.text(min_size=1, max_size=4).filter(lambda token: token not in SPECIALS)


def test_specials_have_the_ids_0_to_3() -> None:
    vocabulary = Vocabulary([*SPECIALS, "a"])
    assert vocabulary.words([PAD, BOS, EOS, UNK, 4]) == ["<pad>", "<s>", "</s>", "<unk>", "a"]
    assert vocabulary.ids(["a", "b", "<s>"]) == [4, UNK, BOS]


def test_most_frequent_first_and_ties_by_token() -> None:
    counts = Counter({"b": 2, "a": 2, "c": 3, "d": 1})
    assert Vocabulary.from_counts(counts, max_size=None).tokens[4:] == ("c", "a", "b", "d")
    assert Vocabulary.from_counts(counts, max_size=6).tokens[4:] == ("c", "a")
    assert Vocabulary.from_counts(counts, max_size=None, min_count=2).tokens[4:] == ("c", "a", "b")
    assert len(Vocabulary.from_counts(counts, max_size=2)) == 4


def test_a_special_among_the_counts_keeps_its_id() -> None:
    assert Vocabulary.from_counts(Counter({"</s>": 9, "a": 1}), max_size=None).tokens == (*SPECIALS, "a")


@given(st.dictionaries(plain, st.integers(1, 5)), st.randoms())
def test_order_of_counting_does_not_matter(counts: dict[str, int], chance: object) -> None:
    items = list(counts.items())
    chance.shuffle(items)  # type: ignore[attr-defined]
    one, other = (Vocabulary.from_counts(Counter(dict(c)), max_size=None) for c in (counts.items(), items))
    assert one == other
    assert one.sha256 == other.sha256
    assert hash(one) == hash(other)
    assert one.words(one.ids(counts)) == list(counts)


def test_the_hash_tells_order_and_borders_apart() -> None:
    hashes = {Vocabulary([*SPECIALS, *tokens]).sha256 for tokens in (["a", "b"], ["b", "a"], ["ab"], ['a","b'])}
    assert len(hashes) == 4


@pytest.mark.parametrize("i", [-1, 5])
def test_an_id_outside_is_an_error(i: int) -> None:
    with pytest.raises(IndexError, match=f"token id {i} is outside the vocabulary of 5 tokens"):
        Vocabulary([*SPECIALS, "a"]).words([i])


def test_bad_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="starts with"):
        Vocabulary(["a", *SPECIALS])
    with pytest.raises(ValueError, match=r"occur twice.*'a'"):
        Vocabulary([*SPECIALS, "a", "a"])


def test_it_is_not_equal_to_other_things() -> None:
    assert Vocabulary(SPECIALS) != list(SPECIALS)
    assert Vocabulary(SPECIALS) != Vocabulary([*SPECIALS, "a"])
