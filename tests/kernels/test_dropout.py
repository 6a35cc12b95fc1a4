"""Dropout by 16 bits an element: its share, its scale, its gradient, its generator."""

from __future__ import annotations

import pytest
import torch

from s2s.kernels.compiled import build
from s2s.kernels.dropout import dropout

pytestmark = pytest.mark.skipif(build.unavailable() is not None, reason="no C++ compiler")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 70_001])
def test_an_element_is_lost_or_scaled_and_so_is_its_gradient(size: int, dtype: torch.dtype) -> None:
    torch.manual_seed(size)
    x = (torch.rand(size) + 1).to(dtype).requires_grad_()
    out = dropout(x, 0.25)
    kept = out != 0
    torch.testing.assert_close(out, torch.where(kept, x / 0.75, 0.0).to(dtype))
    d_out = torch.randn(size).to(dtype)
    (d_x,) = torch.autograd.grad(out, x, d_out)
    torch.testing.assert_close(d_x, torch.where(kept, d_out / 0.75, 0.0).to(dtype))


@pytest.mark.parametrize("share", [0.001, 0.35, 0.999])
def test_the_share_is_kept_and_places_do_not_hang_together(share: float) -> None:
    torch.manual_seed(1)
    lost = dropout(torch.ones(400, 1000), share) == 0
    spread = (share * (1 - share) / lost.numel()) ** 0.5
    assert abs(float(lost.double().mean()) - share) < 5 * spread + 2**-16
    for shift in (1, 2, 3, 4, 1000):  # four elements have one draw
        both = (lost.flatten()[shift:] & lost.flatten()[:-shift]).double().mean()
        assert abs(float(both) - share**2) < 5 * (share**2 * (1 - share**2) / lost.numel()) ** 0.5 + 2**-15


def test_the_generator_of_torch_decides_whatever_the_threads() -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            found.append(dropout(torch.ones(300_000), 0.5))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], dropout(torch.ones(300_000), 0.5))


def test_a_tensor_that_is_not_contiguous() -> None:
    x = torch.arange(1.0, 13.0).view(3, 4).t().requires_grad_()
    out = dropout(x, 0.5)
    assert out.shape == (4, 3)
    assert ((out == 0) | (out == 2 * x)).all()
    (d_x,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(d_x, out / x)


def test_nothing_is_dropped_outside_of_training_or_of_no_share() -> None:
    x = torch.randn(9)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x
