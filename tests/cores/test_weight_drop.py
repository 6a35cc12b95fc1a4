"""Dropout of recurrent weights: one mask a sequence, the same function on every backend."""

from __future__ import annotations

import pytest
import torch
from catalogue import CASES as ALL_CASES
from catalogue import close, layer, mid_state, randn
from torch import Tensor

from s2s.cores import Recurrent
from s2s.errors import UserError
from s2s.kernels import Backend
from s2s.kernels.dropout import dropout

NONE = ("statistical-iid", "statistical-multiscale")
"""Cores without recurrent weights."""
CASES = [case for case in ALL_CASES if case[0] not in NONE]
LENGTHS = torch.tensor([6, 3, 0, 1])


def dropping(name: str, backend: Backend, **options: int) -> Recurrent:
    plain = layer(name, backend)
    return Recurrent(plain.cell, backend=backend, weight_drop=0.5, **options).train()  # type: ignore[arg-type]


def run(module: Recurrent, x_BTI: Tensor, seed: int = 4) -> tuple[Tensor, ...]:
    """Output, final state and the gradients of all parameters."""
    torch.manual_seed(seed)
    out_BTO, final = module(x_BTI, LENGTHS, mid_state(module.cell, len(LENGTHS)))
    parts = (out_BTO, *final)
    parameters = list(module.parameters())
    found = torch.autograd.grad(sum((part * part).sum() for part in parts), parameters, allow_unused=True)
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return (*parts, *gradients)


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_every_backend_and_segments_run_the_same_masked_weights(name: str, backend: Backend) -> None:
    x_BTI = randn(4, 6, 3)
    expected = run(dropping(name, "reference"), x_BTI)
    close(run(dropping(name, backend), x_BTI), expected)
    close(run(dropping(name, backend, segment=2), x_BTI), expected)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_the_masked_weights_by_hand(name: str) -> None:
    """Each recurrent weight is zero or twice itself; what was zero gets no gradient; the rest stays as it is."""
    module, x_BTI = dropping(name, "reference"), randn(4, 6, 3)
    results = run(module, x_BTI)
    torch.manual_seed(4)
    masked = {
        key: dropout(weight.detach(), 0.5)
        for key, weight in module.cell.named_parameters()
        if module.cell.is_recurrent(key)
    }
    assert masked
    plain = layer(name, "reference")
    for key, weight in masked.items():
        original = dict(plain.cell.named_parameters())[key]
        assert 0.2 < float((weight == 0).double().mean()) < 0.8
        close(weight[weight != 0], 2 * original[weight != 0].detach())
        gradient = dict(
            zip(dict(module.cell.named_parameters()), results[-len(list(module.parameters())) :], strict=True)
        )[key]
        assert not gradient[weight == 0].any()
        with torch.no_grad():
            original.copy_(weight)
    out_BTO, _ = plain(x_BTI, LENGTHS, mid_state(module.cell, len(LENGTHS)))
    close(results[0], out_BTO)


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_one_mask_a_sequence_and_none_in_evaluation(name: str, backend: Backend) -> None:
    module, x_BTI = dropping(name, backend), randn(4, 6, 3)
    drawn = [torch.cat([part.flatten() for part in module.prepare()]) for _ in range(2)]
    assert not torch.equal(*drawn)
    close(run(module.eval(), x_BTI), run(layer(name, backend), x_BTI))


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_a_loop_of_steps_is_the_layer(name: str, backend: Backend) -> None:
    module, x_BTI = dropping(name, backend), randn(4, 6, 3)
    state = mid_state(module.cell, 4)
    torch.manual_seed(9)
    whole_BTO, final = module(x_BTI, None, state)
    torch.manual_seed(9)
    prepared, outs = module.prepare(), []
    for g_BG in module.project(x_BTI).unbind(1):
        out_BO, state = module.step(g_BG, state, prepared)
        outs.append(out_BO)
    close(torch.stack(outs, 1), whole_BTO)
    close(state, final)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(UserError, match=r"must lie in \[0, 1\)"):
        Recurrent(layer("gru", "reference").cell, weight_drop=share)


@pytest.mark.parametrize("name", NONE)
def test_a_core_without_recurrent_weights(name: str) -> None:
    with pytest.raises(UserError, match=r"the core Statistical .* has none"):
        Recurrent(layer(name, "reference").cell, weight_drop=0.3)
