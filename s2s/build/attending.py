"""Which words of the source a model looked at while it wrote each word of an answer."""

# S source tokens, T target tokens, V source words, U target words

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s2s.text.characters import Characters
from s2s.text.spans import word_of_each_token
from s2s.text.tags import Tagged
from s2s.text.tokenizer import Tokenizer
from s2s.translator import Translator

LARGEST = 1 << 16
"""Most source tokens times target tokens that are looked at: a map beyond that is of no use to anyone."""


class Attended(NamedTuple):
    """Attention by words: runs without white space, or single characters where these are the tokens."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]
    """One row a target word, one column a source word; a row sums to at most 1."""


def attended(translator: Translator, source: str, target: str) -> Attended | None:
    """The attention while `target` is written, forced: the sum over the tokens of a source word, the mean over those of
    a target word.

    None for a model without attention, a blank side, and a pair beyond `LARGEST`.
    """
    sizes = len(translator.source.encode(source)), len(translator.target.encode(target))
    if not 0 < sizes[0] * (sizes[1] + 1) <= LARGEST or not source.strip() or not target.strip():
        return None
    found = translator.align(source, target)
    if found is None:
        return None
    source_words, source_word_S = _words(translator.source, source)
    target_words, target_word_T = _words(translator.target, target)
    weights_TS = np.asarray(found.weights, dtype=np.float64)[:-1]  # without the end of sentence
    to_source_VS = _belongs(source_word_S, len(source_words))
    to_target_UT = _belongs(target_word_T, len(target_words))
    mean_UT = to_target_UT / np.maximum(to_target_UT.sum(1, keepdims=True), 1.0)
    return Attended(source_words, target_words, (mean_UT @ weights_TS @ to_source_VS.T).tolist())


def _words(tokenizer: Tokenizer, text: str) -> tuple[list[str], Sequence[int | None]]:
    """The words of a text, and the word of each of its tokens."""
    if isinstance(tokenizer, Tagged):
        words, of_token = _words(tokenizer.base, text)
        return words, [None, *of_token]
    if isinstance(tokenizer, Characters):
        letters = list(text.lower() if tokenizer.lowercase else text)
        return letters, range(len(letters))
    return text.split(), word_of_each_token(tokenizer, [text])[0]


def _belongs(word_of_token: Sequence[int | None], words: int) -> np.ndarray:
    """(words, tokens): 1 where the token is of the word."""
    table = np.zeros((words, len(word_of_token)))
    for token, word in enumerate(word_of_token):
        if word is not None:
            table[word, token] = 1.0
    return table
