"""Greedy search, sampling and beam search over one protocol: any model with `begin`, `step`, `reorder` and `select`.

Sentences that are finished leave the batch, so a long one does not make the others wait for its arithmetic. An option
that is off costs nothing.
"""

from __future__ import annotations

from s2s.search.beam import beam
from s2s.search.hypothesis import Hypothesis, LengthPenalty, PenaltyKind, coverage, ranked
from s2s.search.limits import Limits
from s2s.search.sampling import Sampling
from s2s.search.shortlist import Candidates, Shortlist
from s2s.search.stepper import Ensemble, Stepper
from s2s.search.walk import greedy, sample

__all__ = [
    "Candidates",
    "Ensemble",
    "Hypothesis",
    "LengthPenalty",
    "Limits",
    "PenaltyKind",
    "Sampling",
    "Shortlist",
    "Stepper",
    "beam",
    "coverage",
    "greedy",
    "ranked",
    "sample",
]
