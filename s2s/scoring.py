"""How likely a model finds given pairs, token by token, and which of their words it looks at together."""

# S source positions, T target positions (the end of sentence included)

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from s2s.corpus.batch import plan_epoch
from s2s.corpus.examples import Example, encode_pairs
from s2s.corpus.formats import Pair
from s2s.text.spans import word_of_each_token
from s2s.translator import Translator

_TOKENS = 4_096  # padded tokens at once
LARGEST = 1 << 24
"""Most source tokens times target tokens of a pair whose attention weights are kept: they take 64 MiB."""

Links = list[tuple[int, int]]
"""(source word, target word), counted from 0 in `text.split()`: one link a target word, in order of the source."""


class Score(NamedTuple):
    """log p(target | source) under teacher forcing, in nats."""

    tokens: list[str]
    """The pieces of the target and the end of sentence."""
    token_scores: list[float]
    """log p of each."""

    @property
    def log_probability(self) -> float:
        return math.fsum(self.token_scores)

    @property
    def per_token(self) -> float:
        return self.log_probability / len(self.token_scores)

    @property
    def perplexity(self) -> float:
        """exp(-log p / tokens); infinite where that is beyond any number."""
        return perplexity(self.per_token)


def perplexity(per_token: float) -> float:
    """exp of the mean negative log-probability; infinite where that is beyond any number."""
    return math.exp(-per_token) if per_token > -700 else math.inf


def has_empty_side(pair: Pair) -> bool:
    return not pair.source.strip() or not pair.target.strip()


def score_pairs(translator: Translator, pairs: Sequence[Pair], *, batch_size: int | None = None) -> list[Score | None]:
    """The score of each pair in its place; None for one with an empty side, or, where words are copied, beyond
    `LARGEST`.

    Args:
        translator: the model, or several, whose probabilities of each token are averaged.
        pairs: source and target.
        batch_size: pairs at once; None takes the run's `search.batch_size`.
    """
    result: list[Score | None] = [None] * len(pairs)
    for rows, examples in _batches(translator, pairs, batch_size, weights=translator.members.copy):
        log_p_N, _ = translator.members.read([one.source for one in examples], [one.target for one in examples])
        lengths = [len(one.target) + 1 for one in examples]
        for row, one, own in zip(rows, examples, torch.split(log_p_N, lengths), strict=True):
            pieces = translator.writer(pairs[row].source).pieces(one.target)
            result[row] = Score([*pieces, "</s>"], own.tolist())
    return result


@torch.inference_mode()
def align_pairs(
    translator: Translator, pairs: Sequence[Pair], *, batch_size: int | None = None, every_source: bool = False
) -> list[Links]:
    """The word alignment of each pair by attention: for each target word the source word that it looks at most.

    A word's weight is the largest of its tokens' weights. A pair with an empty side or beyond `LARGEST` has no links.
    `every_source`: a source word that no target word looks at most is linked to the one that looks at it most.

    Raises:
        ValueError: the model has no attention.
    """
    result: list[Links] = [[] for _ in pairs]
    sources = word_of_each_token(translator.source, [pair.source for pair in pairs])
    targets = word_of_each_token(translator.target, [pair.target for pair in pairs])
    if not translator.members.attend:
        raise ValueError("the model has no attention to align by")
    for rows, examples in _batches(translator, pairs, batch_size, weights=True):
        answers = [(place, one.target) for place, one in enumerate(examples)]
        found = translator.members.attention([one.source for one in examples], answers)
        for row, weights_TS in zip(rows, found, strict=True):
            result[row] = _links(weights_TS[:-1], sources[row], targets[row], every_source=every_source)
    return result


def _batches(
    translator: Translator, pairs: Sequence[Pair], batch_size: int | None, *, weights: bool
) -> Iterator[tuple[list[int], list[Example]]]:
    """Batches of pairs of like length, with the places of their pairs; those that can't be scored are in none."""
    filled = [row for row, pair in enumerate(pairs) if not has_empty_side(pair)]
    kept = [pairs[row] for row in filled]
    encoded = encode_pairs(kept, translator.source, translator.target, extended=translator.members.copy)
    fitting = list(zip(filled, encoded, strict=True))
    if weights:
        fitting = [(row, one) for row, one in fitting if len(one.source) * (len(one.target) + 1) <= LARGEST]
    lengths = [len(one.source) for _, one in fitting], [len(one.target) for _, one in fitting]
    size = translator.config.search.batch_size if batch_size is None else batch_size
    for chosen in plan_epoch(*lengths, size=size, tokens=_TOKENS, seed=0, epoch=0, shuffle=False):
        yield [fitting[place][0] for place in chosen], [fitting[place][1] for place in chosen]


def _links(
    weights_TS: Tensor, source: Sequence[int | None], target: Sequence[int | None], *, every_source: bool
) -> Links:
    links = {(of, word) for word, of in _strongest(weights_TS, target, source).items()}
    if every_source:
        looked_at = {of for of, _ in links}
        columns = _strongest(weights_TS.T, source, target)
        links |= {(of, word) for of, word in columns.items() if of not in looked_at}
    return sorted(links)


def _strongest(weights: Tensor, rows: Sequence[int | None], columns: Sequence[int | None]) -> dict[int, int]:
    """For each word of the rows that of the columns with the largest weight, the first one of equal ones."""
    best: dict[int, tuple[float, int]] = {}
    words = [(place, word) for place, word in enumerate(columns) if word is not None]
    for row, word in zip(weights.tolist(), rows, strict=True):
        if word is None or not words:
            continue
        found = max((row[place], -of) for place, of in words)
        best[word] = max(best.get(word, found), found)
    return {word: -of for word, (_, of) in best.items()}


def pharaoh(links: Links) -> str:
    """`0-0 1-2`: source word, target word."""
    return " ".join(f"{source}-{target}" for source, target in links)
