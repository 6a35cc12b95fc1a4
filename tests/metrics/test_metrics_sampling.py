"""Intervals and significance are sacreBLEU's own, for its metrics and for means alike."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest

from s2s.metrics import compared_scores, text_scores
from s2s.metrics.sampling import Mean, Sampling, measure

RANDOM = random.Random(3)
WORDS = [f"w{number}" for number in range(30)]
REFERENCES = [" ".join(RANDOM.choices(WORDS, k=RANDOM.randint(3, 9))) for _ in range(60)]


def noisy(share: float) -> list[str]:
    return [
        " ".join(RANDOM.choice(WORDS) if RANDOM.random() < share else word for word in line.split())
        for line in REFERENCES
    ]


GOOD, WEAK = noisy(0.2), noisy(0.6)


def test_intervals_are_those_of_sacrebleu() -> None:
    scores = text_scores(GOOD, REFERENCES, sampling=Sampling(resamples=200))
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        expected = metric.corpus_score(GOOD, [REFERENCES], n_bootstrap=200)
        assert scores[name] == pytest.approx(expected.score, abs=5e-5)
        assert scores["intervals"][name]["mean"] == pytest.approx(expected._mean, abs=1e-3)
        assert scores["intervals"][name]["half"] == pytest.approx(expected._ci, abs=1e-3)
        assert set(scores["signatures"][name].split("|")) == set(str(metric.get_signature()).split("|"))


@pytest.mark.parametrize("test", ["bs", "ar"])
def test_significance_is_that_of_sacrebleu(test: str) -> None:
    sampling = Sampling(resamples=200, test="bs" if test == "bs" else "ar", trials=300)
    first, other = compared_scores([GOOD, WEAK], REFERENCES, ["bleu"], sampling=sampling)
    trials = 300 if test == "ar" else 200
    expected = PairedTest(
        [("a", GOOD), ("b", WEAK)], {"BLEU": BLEU()}, [REFERENCES], test, trials, 200 if test == "ar" else -1
    )
    signatures, columns = expected()
    assert "paired" not in first
    assert other["paired"]["bleu"]["p"] == pytest.approx(columns["BLEU"][1].p_value, abs=1e-6)  # type: ignore[union-attr]
    assert other["paired"]["bleu"]["difference"] == pytest.approx(other["bleu"] - first["bleu"], abs=1e-3)
    assert first["signature"] == str(signatures["BLEU"])


def test_a_difference_of_nothing_is_never_significant() -> None:
    for test in ("bs", "ar"):
        sampling = Sampling(resamples=50, trials=50, test="bs" if test == "bs" else "ar")
        _, same = compared_scores([GOOD, list(GOOD)], REFERENCES, sampling=sampling)
        assert {one["p"] for one in same["paired"].values()} == {1.0}


def test_seeds() -> None:
    before = os.environ.get("SACREBLEU_SEED")

    def half(seed: int | None) -> float:
        scores = text_scores(GOOD, REFERENCES, ["bleu"], sampling=Sampling(resamples=20, seed=seed))
        value: float = scores["intervals"]["bleu"]["half"]
        return value

    assert half(3) == half(3) != half(4)
    assert half(None) == half(12345)
    assert os.environ.get("SACREBLEU_SEED") == before


def test_the_environments_seed_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "9")
    scores = text_scores(GOOD, REFERENCES, ["bleu"], sampling=Sampling(resamples=20, seed=3))
    assert "|seed:3|" in scores["signature"]
    assert os.environ["SACREBLEU_SEED"] == "9"
    assert "|seed:9|" in text_scores(GOOD, REFERENCES, ["bleu"], sampling=Sampling(resamples=20))["signature"]


def test_many_sentences_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.metrics.sampling._MOST_DRAWS", 60 * 25)
    assert "|bs:25|" in text_scores(GOOD, REFERENCES, ["bleu"], sampling=Sampling())["signature"]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_a_mean_with_its_interval(values: list[float]) -> None:
    [one], _ = measure(Mean(), [values], None, Sampling(resamples=40))
    rng = np.random.default_rng(12345)
    drawn = np.sort(np.array(values)[rng.choice(len(values), size=(40, len(values)))].mean(1))
    assert one.score == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert one.mean == pytest.approx(drawn.mean(), abs=1e-2)
    assert one.half == pytest.approx((drawn[38] - drawn[1]) / 2, abs=1e-2)


def test_ones_own_values_are_compared_too() -> None:
    values = {"own": [[1.0, 2.0, 3.0, 4.0] * 20, [3.0, 4.0, 5.0, 6.0] * 20]}
    answers = [["a"] * 80, ["b"] * 80]
    first, other = compared_scores(answers, ["a"] * 80, ["exact_match"], sampling=Sampling(), values=values)
    assert (first["own"], other["own"]) == (2.5, 4.5)
    assert other["paired"]["own"]["difference"] == 2.0
    assert other["paired"]["own"]["p"] < 0.01
    assert (first["exact_match"], other["exact_match"]) == (1.0, 0.0)
    assert other["paired"]["exact_match"]["p"] < 0.01


def test_no_samples_no_intervals() -> None:
    scores = text_scores(GOOD, REFERENCES, sampling=Sampling(resamples=0))
    assert scores == text_scores(GOOD, REFERENCES)
    assert "intervals" not in scores
