"""What the contract test does not see of the compiled loops: few inputs, groups of rows, threads, wide states."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from catalogue import CASES, CORES, close, randn
from torch import Tensor

from s2s.cores import Recurrent
from s2s.kernels import Backend
from s2s.kernels.compiled import thin
from s2s.kernels.compiled.build import unavailable
from s2s.kernels.fused import products

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def results(x_BTI: Tensor, weight_GI: Tensor, bias_G: Tensor, product: products.Input) -> tuple[Tensor | None, ...]:
    gates_BTG = product.project(x_BTI, weight_GI, bias_G)
    dgates_BTG = randn(*gates_BTG.shape, seed=9).to(x_BTI.dtype)
    return gates_BTG, *product.backward(dgates_BTG, x_BTI, weight_GI, needs_x=True)


@pytest.mark.parametrize("inputs", [1, 2, thin.FEW, thin.FEW + 1])
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 5), (7, 300)])
@pytest.mark.parametrize("gates", [1, 16, 37])
@pytest.mark.usefixtures("threads")
def test_few_inputs(inputs: int, batch: int, time: int, gates: int) -> None:
    x_BTI, weight_GI, bias_G = randn(batch, time, inputs), randn(gates, inputs, seed=1), randn(gates, seed=2)
    expected = results(x_BTI, weight_GI, bias_G, products.INPUT)
    got = results(x_BTI.float(), weight_GI.float(), bias_G.float(), thin.INPUT)
    for mine, right in zip(got, expected, strict=True):
        assert mine is not None
        assert right is not None
        close(mine.double(), right, rtol=1e-5, atol=1e-5 * float(right.abs().max()))


def test_few_inputs_without_a_gradient_for_x() -> None:
    x_BTI, weight_GI = randn(2, 3, 2).float(), randn(4, 2, seed=1).float()
    dx_BTI, dweight_GI = thin.INPUT.backward(randn(2, 3, 4).float(), x_BTI, weight_GI, needs_x=False)
    assert dx_BTI is None
    assert dweight_GI.shape == (4, 2)


def trained(name: str, backend: Backend, batch: int, hidden: int, dtype: torch.dtype) -> list[Tensor]:
    """Outputs, final state and all gradients of a ragged batch; bfloat16 under autocast."""
    torch.manual_seed(2)
    cell = CORES[name](2, hidden).to(torch.float32 if dtype == torch.bfloat16 else dtype)
    lengths_B = torch.randint(0, 5, (batch,), generator=torch.Generator().manual_seed(3))
    x_BTI = randn(batch, 4, 2).to(next(cell.parameters()).dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        out_BTO, final = Recurrent(cell, backend=backend)(x_BTI, lengths_B)
    loss = (out_BTO.double() * randn(*out_BTO.shape, seed=6)).sum() + sum(p[p.isfinite()].sum() for p in final)
    grads = torch.autograd.grad(loss, [x_BTI, *cell.parameters()], allow_unused=True)
    return [part.detach().double() for part in (out_BTO, *final, *grads) if part is not None]


def distance(got: Tensor, right: Tensor) -> float:
    """Relative, in norm. Infinities must agree."""
    finite = right.isfinite()
    assert torch.equal(got.isfinite(), finite)
    return float((got - right)[finite].norm()) / max(float(right[finite].norm()), 1e-3)


@pytest.mark.parametrize("name", [name for name, backend in CASES if backend == "compiled"])
@pytest.mark.parametrize(("batch", "hidden"), [(131, 3), (14, 33), (5, 70)])
@pytest.mark.usefixtures("threads")
def test_many_rows_and_wide_states(name: str, batch: int, hidden: int) -> None:
    """More rows than a group has, and widths on both sides of a panel's, in every storage type.

    In bfloat16 a relu may open in one and stay shut in the other: there both are held to float64.
    """
    right = trained(name, "fused", batch, hidden, torch.float64)
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        assert max(map(distance, trained(name, "compiled", batch, hidden, dtype), right)) < limit
    plain = trained(name, "fused", batch, hidden, torch.bfloat16)
    for mine, other, exact in zip(trained(name, "compiled", batch, hidden, torch.bfloat16), plain, right, strict=True):
        assert distance(mine, exact) <= 2 * distance(other, exact) + 0.01
