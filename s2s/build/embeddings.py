"""Embeddings that start from word vectors in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

import torch

from s2s.build.text import Tokenizers
from s2s.config import Model
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.read import Pair
from s2s.errors import UserError
from s2s.models import Embedding, Seq2Seq
from s2s.text.tokenizer import Tokenizer
from s2s.text.vectors import Covered, token_vectors
from s2s.text.vocab import SPECIALS

SideName = Literal["encoder", "decoder"]
_SAMPLE = 500_000
"""Pairs of a mapped corpus that are counted; more would change the last digits of shares and means."""


def fill_embeddings(model: Model, whole: Seq2Seq, tokenizers: Tokenizers, pairs: Sequence[Pair]) -> list[str]:
    """Put the vectors of `model.embeddings` in place; returns what was found, one note a file and side.

    `pairs` are those of the training. Tokens that the file has nothing for, and the marks, keep their random start.

    Raises:
        UserError: a file that can't be read, whose vectors are not as wide as the embedding, or that has no token.
    """
    if isinstance(pairs, MappedPairs):
        pairs = pairs.sample(_SAMPLE, seed=1)
    sources, targets = (pair.source for pair in pairs), (pair.target for pair in pairs)
    source, target = model.side("encoder").embeddings, model.side("decoder").embeddings
    if whole.encoder.embedding.table is whole.decoder.embedding.table:
        both = chain(sources, targets)
        return fill_embedding(whole.encoder.embedding, source, tokenizers.source, both, side="encoder")
    return [
        *fill_embedding(whole.encoder.embedding, source, tokenizers.source, sources, side="encoder"),
        *fill_embedding(whole.decoder.embedding, target, tokenizers.target, targets, side="decoder"),
    ]


def fill_embedding(
    embedding: Embedding, path: str | None, tokenizer: Tokenizer, texts: Iterable[str], *, side: SideName
) -> list[str]:
    """The same for one embedding, whose tokens are those of `texts`; without a path nothing happens."""
    if not path:
        return []
    covered = token_vectors(path, tokenizer, texts)
    if covered.file.size != embedding.size:
        raise UserError(
            f"{path} has vectors of {covered.file.size} numbers, but the {side}'s embedding has {embedding.size}; set"
            f" model.{side}.embedding_size = {covered.file.size}, or name another file"
        )
    tokens = tokenizer.vocabulary.tokens[len(SPECIALS) :]
    if not covered.ids:
        raise UserError(
            f"{path} has none of the {side}'s {len(tokens):,} tokens: they are like {_some(tokens)}, its words like"
            f" {_some(covered.file.first)}. Compare language, case (text.lowercase) and text.tokenizer, name another"
            f' file, or none for this side: model.{side}.embeddings = ""'
        )
    with torch.no_grad():
        embedding.table.weight[torch.tensor(covered.ids)] = torch.from_numpy(covered.values_NE)
    return [_report(path, side, tokenizer, covered, len(tokens))]


def _some(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:3]))


def _report(path: str, side: str, tokenizer: Tokenizer, covered: Covered, tokens: int) -> str:
    found = len(covered.ids)
    start = "from means of them" if tokenizer.kind in ("unigram", "bpe") else "from them"
    return (
        f"{path}: {covered.file.total:,} vectors of {covered.file.size}; {found:,} of the {side}'s {tokens:,} tokens"
        f" ({100 * found / tokens:.1f} %) start {start}, {100 * covered.running:.1f} % of the tokens of its texts;"
        f" {tokens - found:,} start at random"
    )
