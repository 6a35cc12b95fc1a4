"""How likely a model finds the references: sums over all pairs first, one division at the end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from s2s.corpus.batch import plan_epoch
from s2s.corpus.examples import Example, encode_pairs
from s2s.corpus.read import Pair
from s2s.translator import Translator

_TOKENS = 4_096  # padded tokens at once, as in training


def likelihood(translator: Translator, pairs: Sequence[Pair], *, batch_size: int | None = None) -> dict[str, Any]:
    """Teacher-forced scores of the references, each with its end mark; pairs with a blank source are left out.

    Returns:
        `loss` in nats a token; `perplexity` = exp(sum nll / tokens); `perplexity_per_word` = exp(sum nll / words),
        where words are separated by white space and each end counts as one, so that runs with unlike tokenizers
        compare; `token_accuracy`; `tokens`. Nothing for no pairs.
    """
    kept = [pair for pair in pairs if pair.source.strip()]
    examples = encode_pairs(kept, translator.source, translator.target, extended=translator.members.copy)
    lengths = [len(one.source) for one in examples], [len(one.target) for one in examples]
    size = batch_size or translator.config.search.batch_size
    plan = plan_epoch(*lengths, size=size, tokens=_TOKENS, seed=0, epoch=0, shuffle=False)
    nll, correct, tokens = reference_sums(translator, examples, plan)
    if not tokens:
        return {}
    words = sum(len(pair.target.split()) + 1 for pair in kept)
    return {
        "loss": round(nll / tokens, 6),
        "perplexity": _exp(nll / tokens),
        "perplexity_per_word": _exp(nll / words),
        "token_accuracy": round(correct / tokens, 6),
        "tokens": tokens,
    }


class Sums(NamedTuple):
    """Over all target tokens, ends included: negative log-likelihood in nats, predicted right, their number."""

    nll: float
    correct: int
    tokens: int


def reference_sums(translator: Translator, examples: Sequence[Example], plan: Iterable[Sequence[int]]) -> Sums:
    """Teacher forcing over a plan of batches."""
    nll, correct, tokens = 0.0, 0, 0
    for rows in plan:
        chosen = [examples[row] for row in rows]
        log_p_N, right_N = translator.members.read([one.source for one in chosen], [one.target for one in chosen])
        nll, correct, tokens = nll - float(log_p_N.sum()), correct + int(right_N.sum()), tokens + len(log_p_N)
    return Sums(nll, correct, tokens)


def perplexity(loss: float) -> float:
    """e^loss. A model that is lost has one beyond any number; 1e300 keeps JSON valid."""
    return math.exp(loss) if loss < 690 else 1e300


def _exp(value: float) -> float:
    return round(perplexity(value), 4)
