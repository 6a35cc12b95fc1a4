"""Which word a token belongs to, for every tokenizer."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.spans import word_of_each_token
from s2s.text.tokenizer import Kind, Tokenizer, train_tokenizer

TEXTS = ["the houses, (they) said!", "a house is a house", "Don't   say that", "über die Häuser hinaus"] * 9
KINDS: tuple[Kind, ...] = ("characters", "words", "unigram", "bpe")


@functools.cache
def tokenizer(kind: Kind) -> Tokenizer:
    return train_tokenizer(kind, TEXTS, vocab_size=60)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_a_word_give_the_word_back(kind: Kind) -> None:
    text = " the  houses, (they)\tsaid über "
    ids = tokenizer(kind).encode(text)
    (words,) = word_of_each_token(tokenizer(kind), [text])
    assert len(words) == len(ids)
    for number, word in enumerate(text.split()):
        own = [one for one, of in zip(ids, words, strict=True) if of == number]
        assert tokenizer(kind).decode(own).strip() == word


@pytest.mark.parametrize("kind", KINDS)
@given(st.text(max_size=30) | st.text(st.sampled_from("ab \u0301\u00a0\u200b,\n"), max_size=20))
def test_one_entry_a_token_in_order(kind: Kind, text: str) -> None:
    (words,) = word_of_each_token(tokenizer(kind), [text])
    assert len(words) == len(tokenizer(kind).encode(text))
    known = [word for word in words if word is not None]
    assert known == sorted(known)
    assert all(0 <= word < len(text.split()) for word in known)
