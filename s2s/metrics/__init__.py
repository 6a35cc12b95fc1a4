"""Scores of answers: what they are, how sure they are, and where they are won and lost."""

from s2s.metrics.text import (
    LOWER_IS_BETTER,
    LOWERED,
    TEXT_METRICS,
    Tokenize,
    better,
    bleu,
    compared_scores,
    exact_match,
    text_scores,
)

__all__ = [
    "LOWERED",
    "LOWER_IS_BETTER",
    "TEXT_METRICS",
    "Tokenize",
    "better",
    "bleu",
    "compared_scores",
    "exact_match",
    "text_scores",
]
