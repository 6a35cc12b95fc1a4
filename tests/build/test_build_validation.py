"""What a validation judges: a copy of the model, in the run's precision, that no training changes."""

from __future__ import annotations

import pytest
import torch
from translators import lively

from s2s.build.training import Validator
from s2s.config.io import check
from s2s.corpus.examples import Example
from s2s.corpus.read import Pair
from s2s.models.compact import HalfLinear
from s2s.training.hardware import autocast

SOURCES = ["abc", "hgf e", "d", "ab", "e d c", "gh"]


def validator(**training: object) -> Validator:
    translator = lively()
    translator.model.requires_grad_(True)
    answers = [own[0].text for own in translator.translate(SOURCES, beam=1)]
    pairs = [Pair(source, target) for source, target in zip(SOURCES, answers, strict=True)]
    examples = [Example(translator.source.encode(one.source), translator.target.encode(one.target)) for one in pairs]
    config = check({"training": {"decode_limit": 5, **training}, "search": {"max_length": 12}}, "x")
    return Validator(config, translator, pairs, examples)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_it_is_what_the_model_itself_says(precision: str) -> None:
    judge = validator()
    found = judge(precision)  # type: ignore[arg-type]
    with autocast(torch.device("cpu"), precision):  # type: ignore[arg-type]
        expected = judge._losses(judge.translator)
    tolerance = 1e-4 if precision == "float32" else 2e-2
    assert found.scores["loss"] == pytest.approx(expected["loss"], rel=tolerance)
    assert found.scores["token_accuracy"] == pytest.approx(expected["token_accuracy"], abs=0.05)
    if precision == "float32":
        assert found.scores["exact_match"] == 1.0


def test_the_model_stays_as_it_is_and_is_judged_as_it_is() -> None:
    judge = validator()
    model = judge.translator.model
    before = judge("float32").scores["loss"]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(isinstance(module, HalfLinear) for module in model.modules())
    judge("bfloat16")
    assert judge("float32").scores["loss"] == before
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data.mul_(0.5)  # counts no version, as torch's fused optimisers
    assert judge("float32").scores["loss"] != pytest.approx(before, rel=1e-3)
