"""An answer, and what answers are ranked by."""

# T written tokens (the end of sentence among them), S source positions

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from torch import Tensor

PenaltyKind = Literal["none", "wu", "average"]

_LEAST = 1e-6
"""Attention below this counts as this: a logarithm of zero would rank nothing."""


class Hypothesis(NamedTuple):
    """One answer."""

    tokens: list[int]
    """Without the end of sentence."""
    score: float
    """What hypotheses are ranked by: log-probability over the length penalty."""
    log_probability: float
    """Of all tokens and the end of sentence, in nats."""
    finished: bool
    """False where the length limit cut it off."""
    token_scores: list[float] | None = None
    """Log-probability of each token, and of the end of sentence where finished; None unless asked for."""


@dataclass(frozen=True)
class LengthPenalty:
    """What a log-probability is divided by; `length` counts the end of sentence.

    none: 1; wu: ((5 + length) / 6)^exponent (Wu et al. 2016, equation 14); average: length^exponent.
    """

    kind: PenaltyKind
    exponent: float

    def divisor(self, length: int) -> float:
        match self.kind:
            case "none":
                return 1.0
            case "wu":
                return math.pow((5.0 + length) / 6.0, self.exponent)
            case "average":
                return math.pow(length, self.exponent)
            case _:
                assert_never(self.kind)


def coverage(weights_TS: Tensor, strength: float) -> float:
    """strength * sum_s log(min(sum_t a_ts, 1)) (Wu et al. 2016, equation 14): at most 0, for what was not looked at."""
    return strength * float(weights_TS.sum(0).clamp(_LEAST, 1.0).log().sum())


def ranked(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Best first, and whatever was cut off behind all that ended."""
    return sorted(hypotheses, key=lambda item: (not item.finished, -item.score))
