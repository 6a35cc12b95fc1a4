"""Embeddings that start from word vectors in a file."""

from __future__ import annotations

from typing import Literal

import torch

from s2s.build.text import Tokenizers
from s2s.config import Model
from s2s.errors import UserError
from s2s.models import Embedding, Seq2Seq
from s2s.text.vectors import Vectors, read_vectors
from s2s.text.vocab import SPECIALS, Vocabulary

SideName = Literal["encoder", "decoder"]


def fill_embeddings(model: Model, whole: Seq2Seq, tokenizers: Tokenizers) -> list[str]:
    """Put the vectors of `model.embeddings` in place; returns what was found, one note a file and side.

    Words that the file does not have, and the marks, keep their random start.

    Raises:
        UserError: a file that can't be read, or whose vectors are not as wide as the embedding.
    """
    notes = _fill("encoder", model, whole.encoder.embedding, tokenizers.source.vocabulary)
    if whole.encoder.embedding.table is whole.decoder.embedding.table:
        return notes
    return notes + _fill("decoder", model, whole.decoder.embedding, tokenizers.target.vocabulary)


def _fill(side: SideName, model: Model, embedding: Embedding, vocabulary: Vocabulary) -> list[str]:
    path = model.side(side).embeddings
    if not path:
        return []
    words = vocabulary.tokens[len(SPECIALS) :]
    vectors = read_vectors(path, frozenset(words))
    if vectors.size != embedding.size:
        raise UserError(
            f"{path} has vectors of {vectors.size} numbers, but the {side}'s embedding has {embedding.size}; set"
            f" model.{side}.embedding_size = {vectors.size}, or name another file"
        )
    with torch.no_grad():
        ids = torch.tensor(vocabulary.ids(vectors.words), dtype=torch.int64)
        embedding.table.weight[ids] = torch.from_numpy(vectors.values_NE)
    return [_report(path, side, vectors, len(words))]


def _report(path: str, side: str, vectors: Vectors, words: int) -> str:
    found, missing = len(vectors.words), words - len(vectors.words)
    share = 100 * found / max(words, 1)
    return (
        f"{path}: {vectors.total:,} vectors of {vectors.size}; {found:,} of the {side}'s {words:,} tokens"
        f" ({share:.1f} %) start from them, {missing:,} at random"
    )
