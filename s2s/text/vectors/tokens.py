"""Vectors for the tokens of a vocabulary from vectors of words.

A token starts from the mean of the vectors of the words it stands in, weighted by how often it does in the training
text. A word of a vocabulary of words stands in itself alone, so its start is its own vector; a subword gets a mean of
all words that it is a part of, which for a frequent word that is one piece is nearly that word's own.
"""

# V vocabulary, N tokens that get a vector, E numbers of a vector, W words

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s.text.subwords import Subwords
from s2s.text.tokenizer import Tokenizer
from s2s.text.vectors.read import read_vectors
from s2s.text.vectors.table import Vectors
from s2s.text.vocab import SPECIALS
from s2s.text.words import join_tokens, split_chunk

_SPACE = "▁"  # what SentencePiece writes where a word begins


class Covered(NamedTuple):
    """The tokens that get a vector from a file, and the share of the training text that they are."""

    ids: list[int]
    values_NE: npt.NDArray[np.float32]
    file: Vectors
    running: float
    """Of all tokens of the text, unknown ones among them; 0 to 1."""


def token_vectors(path: str | Path, tokenizer: Tokenizer, texts: Iterable[str]) -> Covered:
    """Vectors from a file for the tokens of a vocabulary, which was learned from `texts`.

    A word that the file does not have as it is written here is looked for without the marks that say where no space
    was, so that `￭,` finds `,`.

    Raises:
        UserError: as `read_vectors`.
    """
    chunks = _chunks(tokenizer, texts)
    counts = _token_counts(tokenizer, chunks)
    words_of = _words_of_subwords(tokenizer, chunks) if isinstance(tokenizer, Subwords) else _themselves(tokenizer)
    wanted = {spelling for words in words_of.values() for word in words for spelling in _spellings(word)}
    file = read_vectors(path, wanted)
    row = {word: number for number, word in enumerate(file.words)}
    means = {id: mean for id, words in words_of.items() if (mean := _mean(words, row, file.values_NE)) is not None}
    covered = sum(counts[id] for id in means)
    values_NE = np.stack([*means.values()]) if means else np.empty((0, file.size), np.float32)
    return Covered([*means], values_NE, file, covered / max(counts.total(), 1))


def _chunks(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    """What stands between white space, and how often."""
    lowercase = bool(getattr(tokenizer, "lowercase", False))
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update((text.lower() if lowercase else text).split())
    return chunks


def _token_counts(tokenizer: Tokenizer, chunks: Counter[str]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for ids, count in zip(tokenizer.encode_batch(list(chunks)), chunks.values(), strict=True):
        for id in ids:
            counts[id] += count
    return counts


def _themselves(tokenizer: Tokenizer) -> dict[int, Counter[str]]:
    tokens = tokenizer.vocabulary.tokens
    return {id: Counter([tokens[id]]) for id in range(len(SPECIALS), len(tokens))}


def _words_of_subwords(tokenizer: Subwords, chunks: Mapping[str, int]) -> dict[int, Counter[str]]:
    """For each subword the words that it shares a character with, and how often."""
    found: dict[int, Counter[str]] = {}
    for chunk, count in chunks.items():
        for id, word in _overlaps(tokenizer, chunk):
            found.setdefault(id, Counter())[word] += count
    return found


def _overlaps(tokenizer: Subwords, chunk: str) -> Iterator[tuple[int, str]]:
    """Subword and word, for each two that share a character.

    The subwords spell the chunk in SentencePiece's normal form, nearly NFKC. Where the two forms are not equally long,
    nothing can be said about the chunk.
    """
    pieces = tokenizer.cut(chunk)
    words = split_chunk(chunk)
    owners = [word for word in words for _ in unicodedata.normalize("NFKC", join_tokens([word]))]
    bare = [piece.replace(_SPACE, "") for piece in pieces]
    if sum(map(len, bare)) != len(owners):
        return
    start = 0
    for id, piece in zip(tokenizer.vocabulary.ids(pieces), bare, strict=True):
        end = start + len(piece)
        if id >= len(SPECIALS):
            yield from ((id, word) for word in dict.fromkeys(owners[start:end]))
        start = end


def _spellings(word: str) -> tuple[str, str]:
    """As it is, and bare."""
    return word, join_tokens([word])


def _mean(
    words: Counter[str], row: Mapping[str, int], values_WE: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32] | None:
    """Of the words that have a vector; None if none has."""
    known: Counter[int] = Counter()
    for word, count in words.items():
        found = next((row[spelling] for spelling in _spellings(word) if spelling in row), None)
        if found is not None:
            known[found] += count
    if not known:
        return None
    return np.average(values_WE[[*known]], axis=0, weights=[*known.values()]).astype(np.float32)
