"""torch's fused layers as scans: tensors in, tensors out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from s2s.errors import UserError
from s2s.kernels import BackendUnavailable, find, native

CPU = torch.device("cpu")
GATES = {"lstm": 4, "gru": 3, "elman tanh": 1, "elman relu": 1}


def weights(core: str, inputs: int, hidden: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    torch.manual_seed(4)
    rows = GATES[core] * hidden
    shapes = ((rows, inputs), (rows, hidden), (rows,), (rows,))
    return tuple((torch.rand(*shape, dtype=dtype) - 0.5) for shape in shapes)


@pytest.mark.parametrize("core", GATES)
def test_find_gives_a_scan(core: str) -> None:
    kernel = find(core, "native", CPU, torch.float32)
    assert kernel.gives == "hidden"
    state = tuple(torch.zeros(2, 5) for _ in range(2 if core == "lstm" else 1))
    hidden_BTK, final = kernel.run(torch.randn(2, 3, 4), state, weights(core, 4, 5), None, every=True)
    assert hidden_BTK.shape == (2, 3, 5)
    assert [part.shape for part in final] == [(2, 5)] * len(state)


@pytest.mark.parametrize("core", ["rwa", "statistical", "lstm with peepholes", "elman sigmoid", "nonsense"])
def test_find_says_why_not(core: str) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        find(core, "native", CPU, torch.float32)
    message = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert f"'{core}'" in message
    assert "torch has no fused layer that computes the same function" in message
    assert "backend = 'auto'" in message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_lstms_cell_state_is_held_exactly_over_long_padding(dtype: torch.dtype) -> None:
    """c after 2 valid steps and 300 idle ones is c after 2 steps, to the last bit that the dtype's products leave."""
    held = weights("lstm", 3, 7, dtype)
    state = (torch.randn(2, 7, dtype=dtype), 5 * torch.randn(2, 7, dtype=dtype))
    x_BTI = torch.randn(2, 302, 3, dtype=dtype)
    x_BTI[1, 2:] = 0.0
    _, (h_BH, c_BH) = native.lstm(x_BTI, state, held, torch.tensor([302, 2]))
    _, (h_1H, c_1H) = native.lstm(x_BTI[1:, :2], tuple(part[1:] for part in state), held, None)
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(c_BH[1:], c_1H, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(h_BH[1:], h_1H, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("core", GATES)
def test_a_gradient_can_be_asked_for_in_evaluation(core: str) -> None:
    leaf = weights(core, 3, 4)[0].requires_grad_()
    state = tuple(torch.zeros(2, 4) for _ in range(2 if core == "lstm" else 1))
    kernel = find(core, "native", CPU, torch.float32)
    lengths_B = torch.tensor([3, 1])
    hidden_BTK, _ = kernel.run(torch.randn(2, 3, 3), state, (leaf, *weights(core, 3, 4)[1:]), lengths_B, every=True)
    (grad,) = torch.autograd.grad(hidden_BTK[0].sum() + hidden_BTK[1, 0].sum(), leaf)
    assert grad.any()
    with torch.inference_mode():
        again_BTK, _ = kernel.run(torch.zeros(2, 3, 3), state, weights(core, 3, 4), lengths_B, every=True)
    assert again_BTK.isfinite().all()
