"""An evaluation as tables: scores, differences, by length, by word frequency, worst and best sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s2s.evaluation.result import Evaluation, System, Table
from s2s.metrics import compared_scores
from s2s.metrics.buckets import LengthBucket, WordScores, length_buckets, sentence_chrf, word_scores

LABELS = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "ter": "TER",
    "exact_match": "exact match, %",
    "perplexity": "perplexity a token",
    "perplexity_per_word": "perplexity a word",
    "token_accuracy": "token accuracy, %",
}
_SHARES = frozenset({"exact_match", "token_accuracy"})


def summary(evaluation: Evaluation) -> list[Table]:
    """Scores of every system, and with several their differences to the first."""
    names = {**LABELS, **{label: label for label in evaluation.labels}}
    systems = evaluation.systems
    shown = [name for name in names if any(name in system.scores for system in systems)]
    header = ["", *(system.name for system in systems)]
    scores = [[names[name], *(_score(system.scores, name) for system in systems)] for name in shown]
    bounds = any("intervals" in system.scores for system in systems)
    notes = ["± is half the width of the 95 % bootstrap interval."] if bounds else []
    if any("perplexity" in system.scores for system in systems):
        notes.append("Perplexity, token accuracy: of the references; only those a word compare across tokenizers.")
    found = [Table("Scores", header, scores, " ".join(notes))]
    if len(systems) > 1:
        found.append(_differences(evaluation, [name for name in shown if name not in _LIKELIHOODS], names))
    return found


_LIKELIHOODS = frozenset({"perplexity", "perplexity_per_word", "token_accuracy"})


def _score(scores: Mapping[str, Any], name: str) -> str:
    if name not in scores:
        return "-"
    scale = 100 if name in _SHARES else 1
    text = _number(scale * scores[name])
    interval = scores.get("intervals", {}).get(name)
    return text if interval is None else f"{text} ± {_number(scale * interval['half'])}"


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.2e}"


def _differences(evaluation: Evaluation, shown: Sequence[str], names: Mapping[str, str]) -> Table:
    first, *others = evaluation.systems
    rows = [[names[name], *(_difference(first, other, name) for other in others)] for name in shown]
    note = f"p: {evaluation.test}; * where p < 0.05." if evaluation.test else ""
    return Table(f"Difference to {first.name}", ["", *(other.name for other in others)], rows, note)


def _difference(first: System, other: System, name: str) -> str:
    scale = 100 if name in _SHARES else 1
    paired = other.scores.get("paired", {}).get(name)
    text = f"{scale * (other.scores[name] - first.scores[name]):+.2f}"
    return text if paired is None else f"{text} (p = {paired['p']:.4f}){' *' if paired['p'] < 0.05 else ''}"


def tables(evaluation: Evaluation, *, examples: int) -> list[Table]:
    """By length of source and reference, by frequency of words, and the worst and best `examples` sentences."""
    by_length = [
        _length_table(evaluation, "source", evaluation.systems[0].sources),
        _length_table(evaluation, "reference", evaluation.references),
    ]
    return [*by_length, _frequency_table(evaluation), *_example_tables(evaluation, examples)]


def _length_table(evaluation: Evaluation, side: str, texts: Sequence[str]) -> Table:
    unit, buckets = length_buckets(texts)
    metrics = ("bleu", "chrf", "exact_match")
    header = [unit, "pairs", *_columns(evaluation, [LABELS[name] for name in metrics])]
    rows = []
    for bucket in buckets:
        scores = _bucket_scores(evaluation, bucket, metrics)
        cells = [_score(of_system, name) for name in metrics for of_system in scores]
        rows.append([_span(bucket.low, bucket.high), f"{len(bucket.rows):,}", *cells])
    return Table(f"By length of the {side}", header, rows)


def _bucket_scores(evaluation: Evaluation, bucket: LengthBucket, metrics: Sequence[str]) -> list[dict[str, Any]]:
    chosen = [[system.answers[row] for row in bucket.rows] for system in evaluation.systems]
    references = [evaluation.references[row] for row in bucket.rows]
    return compared_scores(chosen, references, metrics, tokenize=evaluation.tokenize)


def _frequency_table(evaluation: Evaluation) -> Table:
    found = [
        word_scores(system.answers, evaluation.references, evaluation.counts, tokenize=evaluation.tokenize)
        for system in evaluation.systems
    ]
    header = ["seen", "words", *_columns(evaluation, ["F1, %", "precision, %", "recall, %"])]
    rows = []
    for bounds in sorted({bounds for scores in found for bounds in scores}, key=lambda bounds: bounds[0]):
        here = [scores.get(bounds) for scores in found]
        cells = [_share(one, part) for part in ("f1", "precision", "recall") for one in here]
        words = max((one.references for one in here if one is not None), default=0)
        rows.append([_span(*bounds), f"{words:,}", *cells])
    return Table(
        "By frequency of words", header, rows, f"Seen: times in {evaluation.counted}. Words: in the references."
    )


def _share(scores: WordScores | None, part: str) -> str:
    return "-" if scores is None else _number(100 * getattr(scores, part))


def _columns(evaluation: Evaluation, labels: Sequence[str]) -> list[str]:
    names = [system.name for system in evaluation.systems]
    return list(labels) if len(names) == 1 else [f"{label} {name}" for label in labels for name in names]


def _span(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _example_tables(evaluation: Evaluation, count: int) -> list[Table]:
    found = []
    for system in evaluation.systems:
        whose = f" of {system.name}" if len(evaluation.systems) > 1 else ""
        chrf = sentence_chrf(system.answers, evaluation.references)
        order = sorted(range(len(chrf)), key=chrf.__getitem__)
        found.append(_examples(evaluation, system, chrf, order[:count], f"Worst sentences{whose}"))
        found.append(_examples(evaluation, system, chrf, order[::-1][:count], f"Best sentences{whose}"))
    return [table for table in found if table.rows]


def _examples(evaluation: Evaluation, system: System, chrf: Sequence[float], rows: Sequence[int], title: str) -> Table:
    cells = [
        [str(row + 1), f"{chrf[row]:.1f}", system.sources[row], evaluation.references[row], system.answers[row]]
        for row in rows
    ]
    return Table(title, ["pair", "chrF", "source", "reference", "answer"], cells, "By chrF of the sentence.")
