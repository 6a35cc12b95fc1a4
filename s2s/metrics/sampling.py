"""How sure a score is: bootstrap intervals and paired tests, by sacreBLEU's own routines, for every metric alike."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sacrebleu.metrics.base import Metric, Score
from sacrebleu.significance import PairedTest, Result

_MOST_DRAWS = 10_000_000  # sentences drawn in all: sacreBLEU holds 72 bytes of statistics for each


@dataclass(frozen=True)
class Sampling:
    """How intervals and significance are found.

    Attributes:
        resamples: test sets drawn with replacement (Koehn 2004); fewer where they would draw more than ten million
            sentences in all, and the signature says how many.
        seed: of the draws, 1 or more; None is sacreBLEU's (12345, or the environment's SACREBLEU_SEED).
        test: paired bootstrap, or approximate randomisation (Riezler and Maxwell 2005).
        trials: of the randomisation.
    """

    resamples: int = 1_000
    seed: int | None = None
    test: Literal["bs", "ar"] = "bs"
    trials: int = 10_000


class Measured(NamedTuple):
    """A score; mean and half width of its 95 % interval, and p against the first system, where they were asked for."""

    score: float
    mean: float | None = None
    half: float | None = None
    p: float | None = None


def measure(
    metric: Metric, outputs: Sequence[Sequence[Any]], references: Sequence[str] | None, sampling: Sampling | None
) -> tuple[list[Measured], str]:
    """One metric of every system, and the metric's signature.

    Args:
        metric: of sacreBLEU, or `Mean`.
        outputs: one a system: what the metric reads, one entry a sentence.
        references: as many, or None for `Mean`.
        sampling: None for scores alone.
    """
    both = None if references is None else [list(references)]
    if sampling is None:
        return [Measured(metric.corpus_score(list(output), both).score) for output in outputs], _signature(metric)
    resamples = max(2, min(sampling.resamples, _MOST_DRAWS // max(len(outputs[0]), 1)))
    named: list[tuple[str, Sequence[Any]]] = [(str(number), list(output)) for number, output in enumerate(outputs)]
    with _seeded(sampling.seed):
        test = PairedTest(
            named,
            {"metric": metric},
            both,
            test_type=sampling.test,
            n_samples=sampling.trials if sampling.test == "ar" else resamples,
            n_ar_confidence=resamples if sampling.test == "ar" else -1,
        )
        signatures, columns = test()
    (name,) = signatures
    results = [one for one in columns[name] if isinstance(one, Result)]
    found = [_measured(one, results[0].score) for one in results]
    return found, str(signatures[name])


def _measured(result: Result, first: float) -> Measured:
    """sacreBLEU calls no difference at all significant; nobody should: p = 1."""
    p = None if result.p_value is None else 1.0 if result.score == first else float(result.p_value)
    return Measured(float(result.score), _number(result.mean), _number(result.ci), p)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _signature(metric: Metric) -> str:
    return "" if isinstance(metric, Mean) else str(metric.get_signature())


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """sacreBLEU takes its seed from the environment alone."""
    before = os.environ.get("SACREBLEU_SEED")
    try:
        if seed is not None:
            os.environ["SACREBLEU_SEED"] = str(seed)
        yield
    finally:
        if seed is not None:
            os.environ.pop("SACREBLEU_SEED")
            if before is not None:
                os.environ["SACREBLEU_SEED"] = before


class Mean(Metric):
    """(1/n) sum_i v_i as a metric of sacreBLEU: its "hypotheses" are the values v themselves, one a sentence."""

    # The arguments that are not used belong to the base class.

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_refs = 1

    def corpus_score(
        self,
        hypotheses: Sequence[Any],
        references: Sequence[Sequence[str]] | None,
        n_bootstrap: int = 1,  # noqa: ARG002
    ) -> Score:
        return self._aggregate_and_compute(self._extract_corpus_statistics(hypotheses, references))

    def _extract_corpus_statistics(self, hypotheses: Sequence[Any], references: Any) -> list[list[float]]:  # noqa: ARG002
        return [self._compute_segment_statistics(value, {}) for value in hypotheses]

    def _aggregate_and_compute(self, stats: Any) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _compute_score_from_stats(self, stats: Any) -> Score:
        return Score("mean", float(stats[0] / stats[1]))

    def _preprocess_segment(self, sent: str) -> str:
        return sent

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def _compute_segment_statistics(self, hypothesis: Any, ref_kwargs: dict[str, Any]) -> list[float]:  # noqa: ARG002
        return [float(hypothesis), 1.0]
