"""What goes in beside the texts, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from s2s.config import Search
from s2s.text.extended import Extended


class Constraints(NamedTuple):
    """What one answer must hold and must not hold."""

    prefix: str | None = None
    """How it begins."""
    required: Sequence[str] = ()
    """Words or phrases in it."""
    banned: Sequence[str] = ()
    """Words or phrases not in it, as the tokenizer spells them."""


class Sentence(NamedTuple):
    """A source under way."""

    number: int
    text: str
    ids: list[int]
    target: Extended
    """What spells its answers."""
    constraints: Constraints


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


class Asked(NamedTuple):
    """What a call wants to know of its answers."""

    settings: Search
    n_best: int
    token_scores: bool
    alignments: bool
    first: int = 0

    def blank(self) -> Translation:
        """The answer to a blank text."""
        pieces: list[str] | None = [] if self.token_scores or self.alignments else None
        scores: list[float] | None = [] if self.token_scores else None
        return Translation("", 0.0, 0.0, True, pieces, scores, [] if self.alignments else None)


class Alignment(NamedTuple):
    """Which source piece each written piece looked at."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]
    """One row a target piece, one column a source piece; each row sums to 1."""
