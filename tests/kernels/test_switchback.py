"""Products in 8 bits against float64: how far they are off, what is no number, where they take part."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s.kernels import dense, switchback
from s2s.kernels.vectors import multiplies_fours

needs_eights = pytest.mark.skipif(not multiplies_fours(), reason="no vectors of 8 bits here")
pytestmark = [needs_eights, pytest.mark.usefixtures("every_size")]


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "LEAST", 1)


def _in_8_bits(left: Tensor, right: Tensor) -> Tensor:
    """Rows of one and columns of the other rounded to 127 steps either way, multiplied in float64."""

    def rounded(x: Tensor, dim: int) -> Tensor:
        scale = x.double().abs().amax(dim, keepdim=True).clamp_min(1e-30) / 127
        return (x.double() / scale).round() * scale

    return rounded(left, 1) @ rounded(right, 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_products_are_those_of_rounded_numbers(threads: int) -> None:
    """Sums of whole numbers are exact: only the results are rounded, and a number half-way may go either way."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:

        @settings(max_examples=40, deadline=None)
        @given(st.integers(1, 130), st.integers(1, 130), st.integers(1, 800), st.integers(0, 99))
        def check(rows: int, columns: int, depth: int, seed: int) -> None:
            torch.manual_seed(seed)
            x, weight = torch.randn(rows, depth).bfloat16(), torch.randn(depth, columns).bfloat16()
            bias = torch.randn(columns)
            wanted, exact = _in_8_bits(x, weight), x.double() @ weight.double()
            with switchback.eight_bits():
                for found in (dense.by_rows(x, weight.t().contiguous()), dense.by_columns(x, weight)):
                    assert found.dtype == torch.bfloat16
                    assert (found.double() - wanted).norm() <= 0.005 * wanted.norm() + 1e-30
                    assert (found.double() - exact).norm() <= 0.03 * x.double().norm() * weight.double().norm()
                shifted = dense.by_rows(x, weight.t().contiguous(), bias)
            assert (shifted.double() - wanted - bias).norm() <= 0.005 * (wanted + bias).norm() + 1e-30

        check()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_says_so_where_it_counts(odd: float) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(20, 70).bfloat16(), torch.randn(40, 70).bfloat16()
    x[3, 5], weight[7, 1] = odd, odd
    with switchback.eight_bits():
        found = torch.stack([dense.by_rows(x, weight), dense.by_columns(x, weight.t().contiguous())])
    touched = torch.zeros(20, 40, dtype=torch.bool)
    touched[3], touched[:, 7] = True, True
    assert found[:, touched].isnan().all()
    assert found[:, ~touched].isfinite().all()


def test_rows_of_zeros_give_zeros() -> None:
    x, weight = torch.zeros(3, 65).bfloat16(), torch.randn(5, 65).bfloat16()
    with switchback.eight_bits():
        assert not dense.by_rows(x, weight).any()
        assert not dense.by_rows(weight, x).any()


def test_a_layer_takes_8_bits_for_all_but_the_gradient_of_its_weight() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(96, 40), torch.randn(30, 96, requires_grad=True)
    dy = torch.randn(30, 40).bfloat16()

    def run() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16):
            y = dense.linear(layer, x)
        return y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), dy)

    plain = run()
    with switchback.eight_bits():
        eight = run()
    assert not switchback.on()
    for name, a, b in zip(("y", "dx", "dW", "db"), plain, eight, strict=True):
        off = float((a - b).detach().double().norm() / a.detach().double().norm())
        assert off < 0.02 if name in ("y", "dx") else off == 0, name
        assert off > 0 or name in ("dW", "db"), name
