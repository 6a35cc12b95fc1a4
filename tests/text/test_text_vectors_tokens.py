"""Vectors of tokens from vectors of words: words as they are or bare, subwords as weighted means, shares of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2s.text.subwords import Subwords
from s2s.text.tokenizer import Kind, train_tokenizer
from s2s.text.vectors import token_vectors
from s2s.text.words import Words


def vectors(path: Path, **words: tuple[float, float]) -> Path:
    path.write_text("".join(f"{word} {x} {y}\n" for word, (x, y) in words.items()), encoding="utf-8")
    return path


def test_words_are_found_as_they_are_or_bare(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("a 1 2\n, 3 4\n! 5 6\n￭! 7 8\n", encoding="utf-8")
    texts = ["a, b!", "a c"]
    tokenizer = Words.train(texts)
    found = token_vectors(tmp_path / "v", tokenizer, texts)
    by_word = dict(zip(tokenizer.pieces(found.ids), found.values_NE.tolist(), strict=True))
    assert by_word == {"a": [1, 2], "￭,": [3, 4], "￭!": [7, 8]}
    assert found.running == pytest.approx(4 / 6)


def test_unknown_words_are_part_of_the_text(tmp_path: Path) -> None:
    texts = ["A a b"]
    tokenizer = Words.train(texts, vocab_size=5, lowercase=True)
    found = token_vectors(vectors(tmp_path / "v", a=(1, 2), b=(3, 4)), tokenizer, texts)
    assert tokenizer.pieces(found.ids) == ["a"]
    assert found.running == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_subword_is_the_mean_of_the_words_it_stands_in(tmp_path: Path, kind: Kind) -> None:
    texts = ["ab"] * 3 + ["ac"] + ["zz"]
    tokenizer = train_tokenizer(kind, texts, vocab_size=9)
    assert isinstance(tokenizer, Subwords)
    found = token_vectors(vectors(tmp_path / "v", ab=(1, 0), ac=(0, 1)), tokenizer, texts)
    expected = {}
    for piece in tokenizer.vocabulary.tokens[4:]:
        counts = [3 * (piece in tokenizer.cut("ab")), 1 * (piece in tokenizer.cut("ac"))]
        if sum(counts) and piece != "▁":
            expected[piece] = [count / sum(counts) for count in counts]
    assert len(expected) > 1
    by_piece = dict(zip(tokenizer.pieces(found.ids), found.values_NE.tolist(), strict=True))
    assert by_piece == expected
    assert 0 < found.running < 1


@pytest.mark.parametrize(("vocab_size", "sign"), [(22, ","), (24, "),")])
def test_signs_and_words_of_one_chunk_are_told_apart(tmp_path: Path, vocab_size: int, sign: str) -> None:
    texts = ["(house), don't"] * 5 + ["house tree"] * 5
    tokenizer = Subwords.train("bpe", texts, vocab_size=vocab_size)
    (tmp_path / "v").write_text("house 1 0\n, 0 1\n", encoding="utf-8")
    found = token_vectors(tmp_path / "v", tokenizer, texts)
    by_piece = dict(zip(tokenizer.pieces(found.ids), found.values_NE.tolist(), strict=True))
    assert by_piece == {"house": [1, 0], sign: [0, 1]}


def test_forms_that_are_not_equally_long_say_nothing(tmp_path: Path) -> None:
    """`▁` in a text is a blank to SentencePiece; and NFKC may make one letter two."""
    texts = ["ﬁne ﬁne", "a▁b ab"]
    tokenizer = Subwords.train("bpe", texts, vocab_size=16)
    (tmp_path / "v").write_text("ﬁne 1 2\nab 3 4\n▁ 9 9\n", encoding="utf-8")
    found = token_vectors(tmp_path / "v", tokenizer, texts)
    values = {tuple(row) for row in np.unique(found.values_NE, axis=0).tolist()}
    assert values == {(1, 2), (3, 4)}


def test_characters(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("characters", ["ab"])
    found = token_vectors(vectors(tmp_path / "v", a=(1, 2), z=(3, 4)), tokenizer, ["ab"])
    assert tokenizer.pieces(found.ids) == ["a"]
    assert found.running == 0.5
