"""Histories: one text, one row of ids, and the turns back from both."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.tokenizer import load_tokenizer, train_tokenizer
from s2s.text.turns import TURN, Turns, history, split_turns, turns_of
from s2s.text.vocab import BOS, EOS

words = st.lists(st.sampled_from(["ja", "nein", "doch", "?"]), min_size=1, max_size=4).map(" ".join)
BASE = train_tokenizer("words", ["ja nein doch ?"])


@given(st.lists(words, max_size=5))
def test_there_and_back(turns: list[str]) -> None:
    text = history(turns)
    assert text.strip()
    assert turns_of(text) == turns
    ids = Turns(BASE).encode(text)
    assert ids[0] == BOS
    assert ids.count(EOS) == len(turns)
    assert split_turns(ids) == [BASE.encode(turn) for turn in turns]
    assert Turns(BASE).decode(ids) == text


def test_what_people_type() -> None:
    assert turns_of("ja\tnein") == turns_of("ja ⏎ nein") == turns_of("⏎ ja\t nein \t") == ["ja", "nein"]
    assert turns_of("") == turns_of(TURN) == turns_of(" \t ") == []
    assert history(["a\tb\nc", " d ⏎ e "]) == "⏎ a b c ⏎ d e"
    assert Turns(BASE).encode("") == [BOS]


@pytest.mark.parametrize("most", [0, 1, 2, 9])
def test_only_the_last_turns_are_read(most: int) -> None:
    turns = ["ja", "nein", "doch"]
    ids = Turns(BASE, most).encode(history(turns))
    assert split_turns(ids) == [BASE.encode(turn) for turn in turns[3 - min(3, most) :]]


def test_only_so_many_tokens_are_read_and_no_turn_is_cut_but_a_lone_one() -> None:
    turns = ["ja", "nein doch", "doch ja nein"]
    [ja, nein_doch, doch_ja_nein] = [[*BASE.encode(turn), EOS] for turn in turns]
    text = history(turns)
    assert Turns(BASE, longest=9).encode(text) == [BOS, *ja, *nein_doch, *doch_ja_nein]
    assert Turns(BASE, longest=8).encode(text) == [BOS, *nein_doch, *doch_ja_nein]
    assert Turns(BASE, longest=6).encode(text) == [BOS, *doch_ja_nein]
    assert Turns(BASE, longest=2).encode(text) == [BOS, *doch_ja_nein[-2:]]


@given(st.lists(words, max_size=5), st.integers(1, 9), st.one_of(st.none(), st.integers(0, 4)))
def test_cut_is_what_lacks_tokens(turns: list[str], longest: int, most: int | None) -> None:
    encoded = [BASE.encode(turn) for turn in turns]
    reader = Turns(BASE, most, longest)
    assert reader.cuts(encoded) == (len(reader.join(encoded)) < len(Turns(BASE, most).join(encoded)))
    assert not Turns(BASE, most).cuts(encoded)


def test_it_is_saved_as_what_it_stands_on(tmp_path: Path) -> None:
    tokenizer = Turns(BASE)
    tokenizer.save(tmp_path, "joint")
    assert load_tokenizer(tmp_path, "joint").vocabulary.sha256 == tokenizer.vocabulary.sha256
    assert (tokenizer.kind, tokenizer.pieces([BOS])) == ("words", BASE.pieces([BOS]))
