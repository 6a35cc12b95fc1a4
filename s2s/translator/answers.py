"""What goes in beside the texts, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Constraints(NamedTuple):
    """What one answer must hold and must not hold."""

    prefix: str | None = None
    """How it begins."""
    required: Sequence[str] = ()
    """Words or phrases in it."""
    banned: Sequence[str] = ()
    """Words or phrases not in it, as the tokenizer spells them."""


class Translation(NamedTuple):
    """One answer to one text. The fields after `finished` are None unless they were asked for."""

    text: str
    score: float
    """Log-probability over the length penalty, plus the coverage penalty; 0 for a blank text."""
    log_probability: float
    finished: bool
    """False where the length limit cut the answer off."""
    pieces: list[str] | None = None
    """The tokens as the tokenizer prints them; with token scores or alignments."""
    token_scores: list[float] | None = None
    """Log-probability of each piece, and of the end of sentence where finished."""
    alignment: list[int] | None = None
    """For each piece the source piece (of `translator.source.encode(text)`) that had most attention."""


class Alignment(NamedTuple):
    """Which source piece each written piece looked at."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]
    """One row a target piece, one column a source piece; each row sums to 1."""
