"""Scores of answers."""

from __future__ import annotations

import math

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from s2s.metrics import TEXT_METRICS, better, exact_match, text_scores

ANSWERS = ["the cat sat on the mat", "a dog ran  over the green hill", "Ein Haus .", ""]
REFERENCES = ["the cat sat on a mat", "a dog ran over the green hill", "Ein Haus.", "nothing at all"]


def test_exact_match_forgives_the_ends_alone() -> None:
    assert exact_match(["a ", " b", "c c", "D"], ["a", "b", "c  c", "d"]) == 0.5
    assert exact_match([], []) == 0.0
    with pytest.raises(ValueError, match="zip"):
        exact_match(["a"], ["a", "b"])


def test_scores_are_those_of_sacrebleu() -> None:
    scores = text_scores(ANSWERS, REFERENCES)
    assert scores["n"] == 4
    assert scores["exact_match"] == exact_match(ANSWERS, REFERENCES)
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        expected = metric.corpus_score(ANSWERS, [REFERENCES])
        assert scores[name] == pytest.approx(expected.score, abs=5e-5)
        assert scores["signatures"][name] == str(metric.get_signature())
    assert scores["signature"] == scores["signatures"]["bleu"]
    assert "case:mixed|eff:no|tok:13a|smooth:exp|version:" in scores["signature"]


@pytest.mark.parametrize("warn", [True, False])
def test_tokenised_answers_are_warned_of_where_that_is_wanted(warn: bool, caplog: pytest.LogCaptureFixture) -> None:
    scores = text_scores(["a b c d ."] * 100, ["a b c d ."] * 100, ["bleu"], warn=warn)
    assert scores["bleu"] == 100.0
    assert ("tokenized period" in caplog.text) == warn


def test_only_what_is_wanted() -> None:
    assert set(text_scores(ANSWERS, REFERENCES, ["exact_match"])) == {"n", "exact_match"}
    assert set(text_scores(ANSWERS, REFERENCES, ["chrf"])) == {"n", "chrf", "signatures"}
    assert set(TEXT_METRICS) == {"exact_match", "bleu", "chrf", "ter"}


def test_nothing_to_score() -> None:
    assert text_scores([], []) == {"n": 0, "exact_match": 0.0}


@pytest.mark.parametrize(
    ("metric", "new", "old", "expected"),
    [
        ("loss", 1.0, 2.0, True),
        ("loss", 2.0, 1.0, False),
        ("loss", 1.0, 1.0, False),
        ("ter", 10.0, 20.0, True),
        ("bleu", 20.0, 10.0, True),
        ("bleu", 10.0, 20.0, False),
        ("exact_match", 0.5, 0.5, False),
        ("bleu", 0.0, None, True),
        ("loss", math.nan, None, False),
        ("loss", math.nan, 1.0, False),
        ("bleu", math.nan, 1.0, False),
    ],
)
def test_better(metric: str, new: float, old: float | None, expected: bool) -> None:
    assert better(metric, new, old) is expected
