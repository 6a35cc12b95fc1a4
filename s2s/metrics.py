"""Scores of answers against references: exact match, and BLEU, chrF and TER by sacreBLEU with its signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TEXT_METRICS = ("exact_match", "bleu", "chrf", "ter")
LOWER_IS_BETTER = frozenset({"loss", "perplexity", "ter"})


def better(metric: str, new: float, old: float | None) -> bool:
    """Whether `new` beats `old` (anything beats None; NaN beats nothing)."""
    if old is None:
        return new == new
    return new < old if metric in LOWER_IS_BETTER else new > old


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Share of answers equal to their reference, white space at the ends aside; 0.0 for no answers."""
    if not references:
        return 0.0
    same = sum(left.strip() == right.strip() for left, right in zip(hypotheses, references, strict=True))
    return same / len(references)


def text_scores(
    hypotheses: Sequence[str], references: Sequence[str], wanted: Sequence[str] = TEXT_METRICS
) -> dict[str, Any]:
    """Corpus scores of plain, detokenised text.

    Args:
        hypotheses: one answer a line.
        references: as many references.
        wanted: which of `TEXT_METRICS`.

    Returns:
        exact_match as a fraction; bleu, chrf, ter as sacreBLEU scales them; `signature` is BLEU's, and
        `signatures` holds each metric's.
    """
    scores: dict[str, Any] = {"n": len(references)}
    if "exact_match" in wanted:
        scores["exact_match"] = exact_match(hypotheses, references)
    signatures: dict[str, str] = {}
    for name in ("bleu", "chrf", "ter"):
        if name in wanted and references:
            metric = _sacrebleu(name)
            scores[name] = round(metric.corpus_score(list(hypotheses), [list(references)]).score, 4)
            signatures[name] = str(metric.get_signature())
    if "bleu" in signatures:
        scores["signature"] = signatures["bleu"]
    if signatures:
        scores["signatures"] = signatures
    return scores


def _sacrebleu(name: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    match name:
        case "bleu":
            return BLEU()
        case "chrf":
            return CHRF()
        case "ter":
            return TER()
    raise ValueError(f"unknown metric {name!r}")
