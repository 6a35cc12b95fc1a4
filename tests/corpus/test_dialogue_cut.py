"""Dialogues cut to size, clean ones told from those that training has, joined contractions, and flat pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.dialogue.clean import clean_dialogues
from s2s.corpus.dialogue.cut import cut_dialogues
from s2s.corpus.dialogue.flat import flat_pairs
from s2s.corpus.dialogue.read import Dialogue, read_dialogues
from s2s.corpus.dialogue.text import join_contractions
from s2s.corpus.formats import Pair

DAILY = Path(__file__).resolve().parents[3] / "shared" / "data" / "dailydialog"
DIALOGUES = st.lists(st.lists(st.sampled_from(["a", "b c", " ", ""]), min_size=1, max_size=12).map(tuple), max_size=6)


def turns(count: int) -> Dialogue:
    return tuple(f"turn {number}" for number in range(count))


# ---- cutting ----


def test_nothing_to_cut() -> None:
    cut = cut_dialogues([turns(2), turns(5)], max_turns=5)
    assert (cut.dialogues, cut.rows) == ([turns(2), turns(5)], [0, 1])
    assert cut.sentence() == "kept all 2 dialogues whole"


def test_windows_follow_each_other_and_are_nearly_equal() -> None:
    long = turns(1_000)
    cut = cut_dialogues([turns(3), long], max_turns=30)
    assert cut.rows == [0] + [1] * 34
    assert sum(cut.dialogues[1:], ()) == long
    assert {len(window) for window in cut.dialogues[1:]} == {29, 30}
    assert cut.sentence() == "2 dialogues: 1 longer than 30 turns cut into 34"
    assert cut_dialogues([long], max_turns=None).dialogues == [long]


def test_an_empty_turn_ends_a_dialogue_and_lone_turns_are_left_out() -> None:
    cut = cut_dialogues([("a", "b", " ", "c", "d", ""), ("alone",), ("e", "", "f", "g")], max_turns=None)
    assert cut.dialogues == [("a", "b"), ("c", "d"), ("f", "g")]
    assert cut.rows == [0, 0, 2]
    assert cut.sentence() == "3 dialogues: 3 empty turns cut out, 2 of one turn left out"


@given(DIALOGUES, st.integers(2, 5))
def test_every_turn_is_kept_once_or_counted(told: list[Dialogue], most: int) -> None:
    cut = cut_dialogues(told, max_turns=most)
    given_turns = [turn for dialogue in told for turn in dialogue]
    kept = [turn for dialogue in cut.dialogues for turn in dialogue]
    assert len(kept) + cut.empty + cut.lone == len(given_turns)
    assert all(1 <= len(dialogue) <= most for dialogue in cut.dialogues)
    assert all(turn.strip() for turn in kept)
    assert cut.rows == sorted(cut.rows)
    parts = iter(given_turns)
    assert all(turn in parts for turn in kept)  # in their order


# ---- clean ----


def test_clean_dialogues_share_no_two_turns_in_a_row() -> None:
    train = [("Hi there .", "Hello !", "Bye .")]
    test = [("hi THERE.", "Hello!"), ("Hello !", "Hi there ."), ("Bye .", "x"), ("y", "Hello !", "bye.", "z")]
    clean = clean_dialogues(test, train)
    assert clean.rows == [1, 2]
    assert clean.sentence() == (
        "2 of 4 test dialogues share no two turns in a row with the training set; 2 of 6 such pairs (33.3 %) do"
    )


@pytest.mark.skipif(not DAILY.is_dir(), reason="needs the files of DailyDialog")
def test_the_clean_part_of_dailydialog() -> None:
    train, test, valid = (read_dialogues([DAILY / f"{part}.tsv"]).dialogues for part in ("train", "test", "valid"))
    assert len(clean_dialogues(valid, train).rows) == 774
    assert clean_dialogues(test, train).sentence() == (
        "723 of 1,000 test dialogues share no two turns in a row with the training set;"
        " 1,473 of 6,740 such pairs (21.9 %) do"
    )


# ---- texts ----


def test_contractions_are_joined() -> None:
    assert join_contractions(("I don ’ t .", "It’s the Joneses ’ car , isn't it ?")) == (
        "I don't .",
        "It's the Joneses'car , isn't it ?",
    )


# ---- flat ----


def test_flat_pairs() -> None:
    assert list(flat_pairs([("a", "b", "c")], context=None)) == [
        Pair("⏎", "a"),
        Pair("⏎ a", "b"),
        Pair("⏎ a ⏎ b", "c"),
    ]
    assert [pair.source for pair in flat_pairs([turns(4)], context=1)] == ["⏎", "⏎ turn 0", "⏎ turn 1", "⏎ turn 2"]
    assert {pair.source for pair in flat_pairs([turns(4)], context=0)} == {"⏎"}
