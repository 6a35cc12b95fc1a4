"""The values that an evaluation is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from s2s.metrics import Tokenize


@dataclass(frozen=True)
class System:
    """One system's answers to the test pairs.

    Attributes:
        name: a run's path, or the name that the user gave to a file of translations.
        sources: what it read, one text a pair.
        answers: what it wrote.
        scores: as of `metrics.compared_scores`, and of a run also perplexities, `beam` and speed.
        curve: lines of the run's `metrics.jsonl`, and which metric decided.
        alignments: source pieces, written pieces and attention weights of a few sentences.
        notes: what the reader of the scores should know.
    """

    name: str
    sources: Sequence[str]
    answers: Sequence[str]
    scores: dict[str, Any]
    curve: Sequence[Mapping[str, Any]] = ()
    metric: str = "loss"
    alignments: Sequence[tuple[Sequence[str], Sequence[str], Sequence[Sequence[float]]]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Evaluation:
    """All systems on the same references.

    Attributes:
        data: the test set in words.
        references: of the pairs.
        systems: the first is what the others are compared with.
        counts: how often each word stands in `counted`.
        counted: the text that the words were counted in.
        test: the name of the paired test.
        labels: names of the user's own metrics.
        tokenize: what BLEU's words are cut with.
    """

    data: str
    references: Sequence[str]
    systems: Sequence[System]
    counts: Mapping[str, int] = field(default_factory=dict)
    counted: str = ""
    test: str = ""
    labels: Sequence[str] = ()
    tokenize: Tokenize = "13a"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


class Picture(NamedTuple):
    """A PNG with its file name and caption."""

    name: str
    caption: str
    png: bytes
