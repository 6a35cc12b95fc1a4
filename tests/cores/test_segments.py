"""A layer in segments is the layer: same outputs, states and gradients, in less memory. B batch, T time, I input."""

from __future__ import annotations

import pytest
import torch
from catalogue import CASES, close, layer, mid_state, randn
from torch import Tensor

from s2s.build.model import build_model
from s2s.config import Model
from s2s.cores import RWA, Keep, Recurrent
from s2s.errors import UserError
from s2s.kernels import Backend

LENGTHS = (7, 3, 0, 1, 7)
BATCH, TIME, INPUT = len(LENGTHS), max(LENGTHS), 3

every_case = pytest.mark.parametrize(("name", "backend"), CASES)


def results(module: Recurrent, lengths: Tensor | None) -> list[Tensor]:
    """Outputs, final state and the gradients of both for inputs, first state and parameters."""
    x_BTI = randn(BATCH, TIME, INPUT).requires_grad_()
    state = tuple(part.requires_grad_() for part in mid_state(module.cell, BATCH))
    out, final = module(x_BTI, lengths, state)
    live = [part for part in (out, *final) if part.requires_grad]
    loss = sum((part * randn(*part.shape, seed=40 + i)).sum() for i, part in enumerate(live))
    inputs = [x_BTI, *state, *module.parameters()]
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [out, *final, *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True))]


@every_case
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("keep", ["all", "last"])
@pytest.mark.parametrize("ragged", [False, True])
def test_segments_change_nothing(name: str, backend: Backend, reverse: bool, keep: Keep, ragged: bool) -> None:
    module = layer(name, backend, reverse=reverse)
    module.keep = keep
    lengths = torch.tensor(LENGTHS) if ragged else None
    expected = results(module, lengths)
    for segment in (1, 2, TIME, TIME + 3):
        module.segment = segment
        close(results(module, lengths), expected)


@every_case
def test_the_first_state_gets_its_gradient(name: str, backend: Backend) -> None:
    grads = []
    for segment in (None, 2):
        module = layer(name, backend)
        module.segment = segment
        out_BTO, _ = module(randn(BATCH, TIME, INPUT), torch.tensor(LENGTHS))
        out_BTO.square().sum().backward()
        grads.append([torch.zeros(0) if p.grad is None else p.grad for p in module.parameters()])
    close(grads[1], grads[0])


@every_case
def test_segments_under_autocast(name: str, backend: Backend) -> None:
    got = []
    for segment in (None, 3):
        module = layer(name, backend, dtype=torch.float32)
        module.segment = segment
        with torch.autocast("cpu", torch.bfloat16):
            out_BTO, final = module(randn(BATCH, TIME, INPUT, dtype=torch.float32), torch.tensor(LENGTHS))
        out_BTO.float().square().mean().backward()
        grads = [torch.zeros(0) if p.grad is None else p.grad for p in module.parameters()]
        got.append([out_BTO.float(), *final, *grads])
        assert all(part.dtype == torch.float32 for part in final)
    close(got[1], got[0], rtol=0.05, atol=0.02)


def kept(module: Recurrent, x_BTI: Tensor) -> int:
    """Bytes of all that the forward leaves for the backward, each storage counted once."""
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out, _ = module(x_BTI)
    assert out.requires_grad
    return sum({part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in saved}.values())


@every_case
def test_only_the_states_at_segment_starts_are_kept(name: str, backend: Backend) -> None:
    module, x_BTI = layer(name, backend, (1, 8)), randn(2, 400, 1)
    module.keep = "last"
    whole = kept(module, x_BTI)
    module.segment = 20
    assert 0 < kept(module, x_BTI) < whole / 3


def test_thousands_of_steps_in_the_memory_of_a_few() -> None:
    bytes_of = {
        segment: kept(Recurrent(RWA(4, 16), keep="last", backend="reference", segment=segment), torch.randn(2, 2000, 4))
        for segment in (None, 50)
    }
    assert bytes_of[50] * 5 < bytes_of[None]


@every_case
def test_weights_from_elsewhere_get_their_gradients(name: str, backend: Backend) -> None:
    """As `torch.func.functional_call` puts them in: they are gone from the module when the backward runs."""
    module = layer(name, backend)
    grads = []
    for module.segment in (None, 2):
        others = {key: (1.5 * value).detach().requires_grad_() for key, value in module.named_parameters()}
        out_BTO, _ = torch.func.functional_call(module, others, (randn(BATCH, TIME, INPUT),))
        grads.append(torch.autograd.grad(out_BTO.square().sum(), list(others.values())))
    close(grads[1], grads[0])


@every_case
def test_a_scan_after_one_in_segments_has_its_gradients(name: str, backend: Backend) -> None:
    """In one context of autocast, whose cache of cast weights knows nothing of gradients."""
    grads = []
    for segment in (None, 3):
        module = layer(name, backend, dtype=torch.float32)
        x_BTI, outs = randn(BATCH, TIME, INPUT, dtype=torch.float32), []
        with torch.autocast("cpu", torch.bfloat16):
            for module.segment in (segment, None):
                outs.append(module(x_BTI)[0].float().square().mean())
        torch.stack(outs).sum().backward()
        grads.append([torch.zeros(0) if p.grad is None else p.grad for p in module.parameters()])
    close(grads[1], grads[0], rtol=0.05, atol=0.02)


@every_case
def test_only_some_outputs_may_be_used(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    for use in (lambda out, _: out[:, 1], lambda _, final: final[-1]):
        grads = []
        for module.segment in (None, 2):
            used = use(*module(randn(BATCH, TIME, INPUT)))
            grads.append(torch.autograd.grad(used.square().sum(), list(module.parameters()), materialize_grads=True))
        close(grads[1], grads[0])


def test_what_does_not_learn_gets_no_gradient() -> None:
    module = layer("rwa", "reference")
    module.segment = 2
    module.cell.weight_hh.requires_grad_(False)
    module(randn(BATCH, TIME, INPUT))[0].sum().backward()
    assert module.cell.weight_hh.grad is None
    assert module.cell.weight_ih.grad is not None


def test_without_gradients_the_scan_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    module = layer("rwa", "reference")
    module.segment = 2
    calls, step = [], module.cell.project
    monkeypatch.setattr(module.cell, "project", lambda x_BTI: calls.append(x_BTI.shape[1]) or step(x_BTI))
    with torch.no_grad():
        module(randn(BATCH, TIME, INPUT))
    assert calls == [TIME]
    module(randn(BATCH, TIME, INPUT))[0].sum().backward()
    assert calls == [TIME, 2, 2, 2, 1, 1, 2, 2, 2]


def test_a_segment_has_at_least_one_step() -> None:
    with pytest.raises(UserError, match="segment = 0"):
        Recurrent(RWA(2, 3), segment=0)


def test_the_configuration_reaches_every_layer() -> None:
    built = build_model(Model(segment=25, hidden_size=4, embedding_size=4), source_vocabulary=9, target_vocabulary=9)
    layers = [module for module in built.modules() if isinstance(module, Recurrent)]
    assert [module.segment for module in layers] == [25] * 3
