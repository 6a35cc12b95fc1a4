"""Steps as one call: the same logits and states as step by step, for every core and every decoder."""

from __future__ import annotations

import pytest
import torch
from test_decoder import BATCH, CHOICES
from tiny import CORES, tiny_model
from torch import Tensor

from s2s.kernels import steps
from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.build import library
from s2s.models import PRESETS, AttentionChoice, Seq2Seq
from s2s.models.compact import slim
from s2s.models.nested import tensors
from s2s.models.one_call import OneCall, one_call

pytestmark = pytest.mark.skipif(not_built("steps") is not None, reason="no C++ compiler")


def assert_equal_steps(model: Seq2Seq, *, width: int = 2, tolerance: float = 2e-5) -> None:
    """Several steps of the first sentences with `width` rows each, which change places and lose one sentence."""
    model = model.float().eval()
    sentences = max(1, 8 // width)
    with torch.inference_mode():
        memory = seen = model.encode(BATCH.source_BS[:sentences], BATCH.source_lengths_B[:sentences])
        sentences = len(memory.mask)
        fast = one_call(model, memory, sentences * width)
        assert isinstance(fast, OneCall)
        index_R = torch.arange(sentences).repeat_interleave(width)
        slow_state = model.reorder(model.begin(memory), index_R)
        fast_state = fast.reorder(fast.begin(memory), index_R)
        generator = torch.Generator().manual_seed(0)
        spread: list[Tensor] = []
        for number in range(6):
            token_R = torch.randint(4, model.output.out_features, (len(index_R), 2), generator=generator)[:, 0]
            slow_RV, slow_state = model.step(token_R, slow_state, memory)
            fast_RV, fast_state = fast.step(token_R, fast_state, seen)
            torch.testing.assert_close(fast_RV, slow_RV, rtol=tolerance, atol=tolerance)
            whole = torch.cat(tensors(slow_state), 1)
            torch.testing.assert_close(fast_state, whole, rtol=tolerance, atol=tolerance)
            spread.append(slow_RV)
            if number in (2, 4) and sentences > 1:
                keep = torch.arange(1, sentences)
                index_R = torch.arange(width, len(index_R)).flip(0)  # from the last row to the first of the second
                index_R = index_R.view(sentences - 1, width).flip(0).flatten()
                memory, seen, sentences = model.select(memory, keep), fast.select(seen, keep), sentences - 1
                slow_state, fast_state = model.reorder(slow_state, index_R), fast.reorder(fast_state, index_R)
        assert float(torch.cat(spread[:4]).std(0).max()) > 1e-3  # or the comparison would say nothing


@pytest.mark.parametrize("choice", CHOICES, ids="-".join)
def test_every_choice(choice: AttentionChoice) -> None:
    assert_equal_steps(tiny_model(choice))


@pytest.mark.parametrize("peeky", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", CORES)
def test_every_core_and_preset(core: str, preset: str | None, layers: int, peeky: bool) -> None:
    assert_equal_steps(tiny_model(preset, core=core, layers=layers, residual=layers > 1, peeky=peeky))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_slim_models(preset: str | None, precision: str) -> None:
    model = tiny_model(preset, core="gru", peeky=True).float().eval()
    slim(model, precision)
    assert_equal_steps(model)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_every_number_of_rows(width: int) -> None:
    assert_equal_steps(tiny_model("joey"), width=width)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("width", [9, 12, 13, 50])
def test_many_rows(width: int, precision: str | None, threads: int) -> None:
    """Where matrices can be packed; more than a tile, and more than are worked on at once."""
    model = tiny_model("joey", core="gru", hidden=37, vocabulary=203).float().eval()
    if precision:
        slim(model, precision)
    torch.set_num_threads(threads)
    if library("steps").steps_packs():
        assert_equal_steps(model.requires_grad_(False), width=width, tolerance=2e-4 if precision == "int8" else 5e-5)


@pytest.mark.parametrize("precision", [None, "bfloat16", "int8"])
def test_a_row_does_not_depend_on_those_beside_it(precision: str | None) -> None:
    model = tiny_model("luong", core="lstm", hidden=37, vocabulary=203).float().eval()
    if precision:
        slim(model, precision)
    if not library("steps").steps_packs():
        pytest.skip("matrices are not packed here")
    model.requires_grad_(False)
    with torch.inference_mode():
        memory = model.encode(BATCH.source_BS[:1], BATCH.source_lengths_B[:1])
        token_R = torch.randint(4, 203, (30,), generator=torch.Generator().manual_seed(0))
        logits = []
        for count in (1, 7, 30):
            fast = one_call(model, memory, count)
            state = fast.reorder(fast.begin(memory), torch.zeros(count, dtype=torch.int64))
            logits.append(fast.step(token_R[:count], state, memory)[0])
    assert torch.equal(logits[0], logits[2][:1])
    assert torch.equal(logits[1], logits[2][:7])


def test_what_was_packed_is_packed_anew_when_it_changes() -> None:
    model = tiny_model("luong").float().eval().requires_grad_(False)
    assert_equal_steps(model)
    for parameter in model.parameters():
        parameter.mul_(1.5)
    assert_equal_steps(model)
    model.output.weight.data = model.output.weight * 2
    assert_equal_steps(model)


def test_what_is_trained_is_not_packed() -> None:
    """A fused optimiser changes weights without a trace."""
    model = tiny_model("luong").float().eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        assert_equal_steps(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    with torch.inference_mode():
        memory = model.encode(BATCH.source_BS[:1], BATCH.source_lengths_B[:1])
        assert one_call(model, memory, 9) is model
        model.requires_grad_(False)
        assert isinstance(one_call(model, memory, 9), OneCall) == bool(library("steps").steps_packs())


@pytest.mark.parametrize(
    "model",
    [
        tiny_model("bahdanau", coverage=True),
        tiny_model("luong", gate="both"),
        tiny_model("luong", copy=True),
        tiny_model("luong", dtype=torch.float64),
    ],
    ids=["coverage", "gate", "copying", "double"],
)
def test_what_has_no_program_is_stepped_as_ever(model: Seq2Seq) -> None:
    with torch.inference_mode():
        memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
        assert one_call(model, memory, len(memory.mask)) is model


def test_many_rows_are_stepped_as_ever_where_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_packed", lambda _: None)
    model = tiny_model("luong").float()
    with torch.inference_mode():
        memory = model.encode(BATCH.source_BS[:1], BATCH.source_lengths_B[:1])
        assert one_call(model, memory, 9) is model
        assert isinstance(one_call(model, memory, 8), OneCall)


def test_autocast_chooses_the_types_of_its_own() -> None:
    model = tiny_model("luong").float()
    with torch.inference_mode():
        memory = model.encode(BATCH.source_BS[:1], BATCH.source_lengths_B[:1])
        with torch.autocast("cpu", torch.bfloat16):
            assert one_call(model, memory, 1) is model
