"""Greedy search as one call: what it writes is what is written step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import CORES, tiny_model

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.build import library
from s2s.models import PRESETS, Memory, Seq2Seq
from s2s.models.compact import slim
from s2s.models.one_call import OneCall, one_call
from s2s.models.shortened import Shortened
from s2s.search import Hypothesis, LengthPenalty, Limits, Stepper, greedy

pytestmark = pytest.mark.skipif(not_built("steps") is not None, reason="no C++ compiler")
PENALTY = LengthPenalty("wu", 1.0)
VOCABULARY = 203


class Led:
    """A stepper without its own way."""

    def __init__(self, stepper: Stepper) -> None:
        self.begin, self.step = stepper.begin, stepper.step
        self.reorder, self.select = stepper.reorder, stepper.select


def limits(sentences: int, **keys: object) -> Limits:
    rooms = [(5 * sentence) % 13 for sentence in range(sentences)]
    return replace(Limits(bos=2, eos=3, longest=rooms, forbidden=(0, 1)), **keys)  # type: ignore[arg-type]


def lively(preset: str = "luong", core: str = "gru", *, layers: int = 1, precision: str | None = None) -> Seq2Seq:
    """It ends some of its answers before their room."""
    model = tiny_model(preset, core=core, hidden=37, vocabulary=VOCABULARY, layers=layers).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
        model.output.bias[3] += 3.0
    if precision:
        slim(model, precision)
    return model.requires_grad_(False)


def memory_of(model: Seq2Seq, sentences: int) -> Memory:
    generator = torch.Generator().manual_seed(1)
    source_BS = torch.randint(4, VOCABULARY, (sentences, 7), generator=generator)
    return model.encode(source_BS, 1 + torch.arange(sentences) % 7)


def assert_equal(found: list[Hypothesis], expected: list[Hypothesis], tolerance: float = 1e-5) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    assert [one.finished for one in found] == [one.finished for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=tolerance)
        assert one.token_scores == pytest.approx(other.token_scores, abs=tolerance)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("core", CORES)
def test_every_core_and_preset(core: str, preset: str, layers: int) -> None:
    model = lively(preset, core, layers=layers)
    with torch.inference_mode():
        memory = memory_of(model, 8)
        stepper = one_call(model, memory, 8)
        assert isinstance(stepper, OneCall)
        expected = greedy(Led(stepper), memory, limits(8), penalty=PENALTY)
        assert_equal(greedy(stepper, memory, limits(8), penalty=PENALTY), expected)
    assert len({tuple(one.tokens) for one in expected}) > 2  # or the comparison would say little


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("precision", [None, "bfloat16", "int8"])
def test_many_sentences(precision: str | None, threads: int) -> None:
    if not library("steps").steps_packs():
        pytest.skip("matrices are not packed here")
    model = lively(precision=precision)
    torch.set_num_threads(threads)
    with torch.inference_mode():
        memory = memory_of(model, 50)
        stepper = one_call(model, memory, 50)
        assert isinstance(stepper, OneCall)
        found = greedy(stepper, memory, limits(50), penalty=PENALTY)
        assert_equal(found, greedy(Led(stepper), memory, limits(50), penalty=PENALTY))
    assert {one.finished for one in found} == {True, False}


def test_it_is_not_led(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(OneCall, "step")
    model = lively()
    with torch.inference_mode():
        memory = memory_of(model, 3)
        assert len(greedy(one_call(model, memory, 3), memory, limits(3), penalty=PENALTY)) == 3


@pytest.mark.parametrize("keys", [{"shortest": [4, 4, 4]}, {"no_repeat": 1}, {"prefixes": [[7], [], [8, 9]]}])
def test_other_limits_are_kept_step_by_step(keys: dict[str, object]) -> None:
    model, bounds = lively(), limits(3, longest=[12, 12, 12], **keys)
    with torch.inference_mode():
        memory = memory_of(model, 3)
        expected = greedy(model, memory, bounds, penalty=PENALTY)
        assert_equal(greedy(one_call(model, memory, 3), memory, bounds, penalty=PENALTY), expected, 1e-3)


@pytest.mark.parametrize("sentences", [1, 30])
def test_a_shortlist(sentences: int) -> None:
    model = lively()
    token_X = torch.tensor([0, 1, 2, 3, *range(10, VOCABULARY, 3)])
    if sentences > 8 and not library("steps").steps_packs():
        pytest.skip("matrices are not packed here")
    with torch.inference_mode():
        memory = memory_of(model, sentences)
        short = Shortened(model, token_X, memory, sentences)
        found = greedy(short, memory, limits(sentences), penalty=PENALTY)
        assert_equal(found, greedy(Led(short), memory, limits(sentences), penalty=PENALTY))


def test_what_is_no_number_does_not_end_the_process() -> None:
    model = lively()
    model.output.bias[5] = torch.nan
    with torch.inference_mode():
        memory = memory_of(model, 2)
        (_, found) = greedy(one_call(model, memory, 2), memory, limits(2), penalty=PENALTY)
    assert len(found.tokens) == 5
