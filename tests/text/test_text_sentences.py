"""Sentences of a text: where they end, what stands between them, and that no text is too long or too odd."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.sentences import Piece, pieces, sentences


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def together(found: Sequence[Piece]) -> str:
    return "".join(piece.text + piece.gap for piece in found)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \n ", []),
        ("one", ["one"]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Smith met Dr. Brown. He left.", ["Mr. Smith met Dr. Brown.", "He left."]),
        ("J. S. Bach wrote it. So did C.P.E. Bach.", ["J. S. Bach wrote it.", "So did C.P.E. Bach."]),
        ("Am 3. Mai 1999. Danach nicht.", ["Am 3. Mai 1999.", "Danach nicht."]),
        ("Vgl. Abb. 3, z. B. Hunde bzw. Katzen. Ende.", ["Vgl. Abb. 3, z. B. Hunde bzw. Katzen.", "Ende."]),
        ("It costs 3.50 at example.org/a.b. Cheap.", ["It costs 3.50 at example.org/a.b.", "Cheap."]),
        ("Well... maybe. Well... Maybe.", ["Well... maybe.", "Well...", "Maybe."]),
        ("Wait… What?! Yes.", ["Wait…", "What?!", "Yes."]),
        ('"Stop!" he said. "Go!" She went.', ['"Stop!" he said.', '"Go!"', "She went."]),
        ("„Halt!“ rief er. «Non.» (Ja.) Gut.", ["„Halt!“ rief er.", "«Non.»", "(Ja.)", "Gut."]),
        ("¿Qué? ¡Sí! Vale.", ["¿Qué?", "¡Sí!", "Vale."]),
        ("你好。「再见！」他说。", ["你好。", "「再见！」", "他说。"]),
        ("これは本です。それは？ はい。", ["これは本です。", "それは？", "はい。"]),
        ("यह है। वह था।", ["यह है।", "वह था।"]),
        ("ما هذا؟ كتاب.", ["ما هذا؟", "كتاب."]),
        ("no stop\nhere either\r\n\nend", ["no stop", "here either", "end"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_where_sentences_end(text: str, wanted: list[str]) -> None:
    assert [piece.text for piece in sentences(text)] == wanted


def test_white_space_between_them_is_kept() -> None:
    assert sentences("  Ab.  B!\n\n C。D. ") == [
        Piece("Ab.", "  "),
        Piece("B!", "\n\n "),
        Piece("C。", ""),
        Piece("D.", ""),
    ]


TEXTS = st.text(st.sampled_from("ab A.!?…,。、\"') \n\u3000\u0301x"), max_size=80) | st.text(max_size=40)


@given(TEXTS)
def test_nothing_is_lost(text: str) -> None:
    found = sentences(text)
    assert together(found) == text.strip()
    assert all(piece.text and piece.text == piece.text.strip() and not piece.gap.strip() for piece in found)


@given(TEXTS, st.integers(2, 9))
def test_every_piece_fits_and_nothing_is_lost(text: str, most: int) -> None:
    found = pieces(text, characters, most)
    assert together(found) == text.strip()
    assert max(characters([piece.text for piece in found]), default=0) <= most


def test_cuts_stand_at_commas_before_spaces_before_letters() -> None:
    assert [p.text for p in pieces("a b, c d e, f g h i jj. Kk.", words, 4)] == [
        "a b,",
        "c d e,",
        "f g h i",
        "jj.",
        "Kk.",
    ]
    assert [p.text for p in pieces("1,000 is abcdefgh", characters, 6)] == ["1,000", "is", "abcde", "fgh"]
    assert [p.text for p in pieces("一二、三四五，六。七", characters, 5)] == ["一二、", "三四五，", "六。", "七"]


@pytest.mark.parametrize("unit", ["a", ".", "?!", " ", "a b ", "a. ", "A. ", ",", ".)", "。", "( ", ". (", "\n", "… "])
def test_a_line_of_a_million_characters_takes_no_square_time(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    began = time.process_time()
    found = pieces(text, characters, 100)
    assert together(found) == text.strip()
    assert time.process_time() - began < 20
