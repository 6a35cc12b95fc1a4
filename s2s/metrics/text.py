"""Scores of answers against references: exact match, and BLEU, chrF and TER by sacreBLEU with its signatures.

References are compared as they are, cased: sacreBLEU's signature says `case:mixed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from s2s.errors import UserError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

    from s2s.metrics.sampling import Measured, Sampling

Tokenize = Literal["13a", "intl", "char", "zh", "ja-mecab", "ko-mecab", "flores101", "flores200", "spBLEU-1K", "none"]
"""What sacreBLEU can cut texts into words with before it counts n-grams for BLEU."""

TEXT_METRICS = ("exact_match", "bleu", "chrf", "ter")
LOWER_IS_BETTER = frozenset({"loss", "perplexity", "perplexity_per_word", "ter"})

LOWERED = "text.lowercase: answers are lower-case, references are compared as they are (case:mixed)"
"""What whoever reads the scores of such a run should know."""


def better(metric: str, new: float, old: float | None) -> bool:
    """Whether `new` beats `old` (anything beats None; NaN beats nothing)."""
    if old is None:
        return new == new
    return new < old if metric in LOWER_IS_BETTER else new > old


def exact_match(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Share of answers equal to their reference, white space at the ends aside; 0.0 for no answers."""
    same = _matches(hypotheses, references)
    return sum(same) / len(same) if same else 0.0


def text_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    wanted: Sequence[str] = TEXT_METRICS,
    *,
    sampling: Sampling | None = None,
    warn: bool = True,
) -> dict[str, Any]:
    """Corpus scores of plain, detokenised text.

    Args:
        hypotheses: one answer a line.
        references: as many references.
        wanted: which of `TEXT_METRICS`.
        sampling: for `intervals`; None: scores alone.
        warn: whether sacreBLEU says so where many answers look tokenised.

    Returns:
        exact_match as a fraction; bleu, chrf, ter as sacreBLEU scales them; `signature` is BLEU's, and
        `signatures` holds each metric's; `intervals` maps a metric to `mean` and `half` width of its 95 % interval.
    """
    return compared_scores([hypotheses], references, wanted, sampling=sampling, warn=warn)[0]


def compared_scores(
    systems: Sequence[Sequence[str]],
    references: Sequence[str],
    wanted: Sequence[str] = TEXT_METRICS,
    *,
    sampling: Sampling | None = None,
    values: Mapping[str, Sequence[Sequence[float]]] | None = None,
    tokenize: Tokenize = "13a",
    warn: bool = True,
) -> list[dict[str, Any]]:
    """`text_scores` of several systems' answers to the same pairs.

    Args:
        systems: the answers of each.
        references: as many as each has answers.
        wanted: which of `TEXT_METRICS`.
        sampling: for intervals and the paired test against the first system.
        values: metrics of one's own: for each name and system one value a sentence, whose mean is the score.
        tokenize: BLEU's words.
        warn: as of `text_scores`.

    Returns:
        One dictionary a system, as of `text_scores`; all but the first have `paired`, which maps a metric to
        `difference` to the first system and `p`, if there is sampling.
    """
    if sampling is not None and sampling.resamples < 2:
        sampling = None
    rows: list[dict[str, Any]] = [{"n": len(references)} for _ in systems]
    if "exact_match" in wanted:
        matches = {"exact_match": [_matches(answers, references) for answers in systems]}
        _add_means(rows, matches, sampling if references else None)
    signatures: dict[str, str] = {}
    for name in ("bleu", "chrf", "ter"):
        if name in wanted and references:
            from s2s.metrics.sampling import measure

            found, signatures[name] = measure(_sacrebleu(name, tokenize, warn), systems, references, sampling)
            _add(rows, name, [one._replace(score=round(one.score, 4)) for one in found])
    if references:
        _add_means(rows, values or {}, sampling)
    for row in rows:
        if "bleu" in signatures:
            row["signature"] = signatures["bleu"]
        if signatures:
            row["signatures"] = dict(signatures)
    return rows


def _matches(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    return [float(left.strip() == right.strip()) for left, right in zip(hypotheses, references, strict=True)]


def _add_means(
    rows: Sequence[dict[str, Any]], values: Mapping[str, Sequence[Sequence[float]]], sampling: Sampling | None
) -> None:
    for name, systems in values.items():
        if not systems[0]:
            _add_plain(rows, name)
            continue
        from s2s.metrics.sampling import Mean, measure

        _add(rows, name, measure(Mean(), systems, None, sampling)[0])


def _add_plain(rows: Sequence[dict[str, Any]], name: str) -> None:
    for row in rows:
        row[name] = 0.0


def _add(rows: Sequence[dict[str, Any]], name: str, found: Sequence[Measured]) -> None:
    """Write one metric into every system's scores."""
    for row, one in zip(rows, found, strict=True):
        row[name] = one.score
        if one.mean is not None and one.half is not None:
            row.setdefault("intervals", {})[name] = {"mean": round(one.mean, 4), "half": round(one.half, 4)}
        if one.p is not None:
            difference = round(one.score - found[0].score, 4)
            row.setdefault("paired", {})[name] = {"difference": difference, "p": round(one.p, 6)}


def bleu(tokenize: Tokenize = "13a", *, warn: bool = True) -> BLEU:
    """sacreBLEU's BLEU, cased; `warn`: as of `text_scores`.

    Raises:
        UserError: the tokenizer needs a library that is not installed, or a model that could not be fetched.
    """
    from sacrebleu.metrics.bleu import BLEU

    try:
        return BLEU(tokenize=tokenize, force=not warn)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"BLEU's tokenizer {tokenize} can't be loaded: {' '.join(str(error).split())}. Install what it asks for"
            " (the flores and spBLEU models are fetched once, which needs a network), or choose another"
        ) from None


def _sacrebleu(name: str, tokenize: Tokenize, warn: bool) -> Any:
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    match name:
        case "bleu":
            return bleu(tokenize, warn=warn)
        case "chrf":
            return CHRF()
        case "ter":
            return TER()
    raise ValueError(f"unknown metric {name!r}")
