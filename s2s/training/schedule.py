"""Learning rates as a pure function of the update; only the plateau has a memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, assert_never

Kind = Literal["constant", "inverse_sqrt", "noam", "step", "linear", "cosine", "plateau"]


@dataclass(frozen=True)
class Schedule:
    """rate(u) = peak * min(1, u / warmup) * shape(u), u counted from 1.

    Attributes:
        kind: constant; inverse_sqrt: sqrt(warmup / u) after the warm-up; noam: the same by the name that it has since
            Vaswani et al. 2017, whose d^-0.5 min(u^-0.5, u warmup^-1.5) has its peak scaled to `peak` here; step:
            `factor` after every `every` updates since the warm-up; linear or cosine: down to zero at `total`;
            plateau: `factor` for every `patience + 1` validations without progress.
        peak: highest rate.
        warmup: updates of linear rise.
        total: updates of the whole run (linear, cosine).
    """

    kind: Kind
    peak: float
    warmup: int = 0
    total: int = 0
    factor: float = 0.5
    patience: int = 1
    every: int = 1

    def rate(self, update: int, reductions: int = 0) -> float:
        """The learning rate of the given update (1 is the first) after so many plateau reductions."""
        rise = min(1.0, update / self.warmup) if self.warmup else 1.0
        return self.peak * rise * self._shape(update, reductions)

    def _shape(self, update: int, reductions: int) -> float:
        match self.kind:
            case "constant":
                return 1.0
            case "inverse_sqrt" | "noam":
                start = max(1, self.warmup)
                return math.sqrt(start / max(update, start))
            case "step":
                return float(self.factor ** (max(0, update - 1 - self.warmup) // self.every))
            case "linear":
                return 1.0 - self._done(update)
            case "cosine":
                return 0.5 * (1.0 + math.cos(math.pi * self._done(update)))
            case "plateau":
                return float(self.factor**reductions)
            case _:
                assert_never(self.kind)

    def _done(self, update: int) -> float:
        """Share of the way from the end of the warm-up to the end of the run, 0 to 1."""
        # One update more than the run has, so that the last one still moves the weights.
        return min(1.0, max(0.0, update - self.warmup) / max(1, self.total + 1 - self.warmup))
