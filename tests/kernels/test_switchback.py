"""Products in 8 bits against float64: how far they are off, what is no number, where they take part."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s.kernels import dense, switchback
from s2s.kernels.vectors import multiplies_fours

pytestmark = [
    pytest.mark.skipif(not multiplies_fours(), reason="no vectors of 8 bits here"),
    pytest.mark.usefixtures("every_size"),
]


def _rounded_columns(weight_KN: Tensor) -> Tensor:
    """127 steps either way, in float64."""
    scale = weight_KN.double().abs().amax(0, keepdim=True).clamp_min(1e-30) / 127
    return (weight_KN.double() / scale).round() * scale


def _eight(g_MK: Tensor, weight_KN: Tensor) -> Tensor:
    with switchback.eight_bits():
        return dense.by_columns(g_MK, weight_KN)


@pytest.mark.parametrize("threads", [1, 2])
def test_whole_numbers_are_multiplied_exactly(threads: int) -> None:
    """Rows whose largest number is 127 need no rounding; columns and rows beyond whole tiles."""
    torch.set_num_threads(threads)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 130), st.integers(1, 130), st.integers(1, 800), st.integers(0, 99))
    def check(rows: int, columns: int, depth: int, seed: int) -> None:
        torch.manual_seed(seed)
        g = torch.randint(-127, 128, (rows, depth)).bfloat16()
        g[:, seed % depth] = 127.0
        weight = torch.randn(depth, columns).bfloat16()
        wanted = g.double() @ _rounded_columns(weight)
        found = _eight(g, weight)
        assert found.dtype == torch.bfloat16
        assert (found.double() - wanted).norm() <= 0.004 * wanted.norm() + 1e-30

    check()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(1, 800), st.integers(0, 99))
def test_products_are_near(rows: int, columns: int, depth: int, seed: int) -> None:
    torch.manual_seed(seed)
    g, weight = torch.randn(rows, depth).bfloat16(), torch.randn(depth, columns).bfloat16()
    off = (_eight(g, weight).double() - g.double() @ weight.double()).norm()
    assert off <= 0.03 * g.double().norm() * weight.double().norm()


def test_small_numbers_of_a_row_are_not_lost_together() -> None:
    """Each is a fiftieth of a step, so all would be rounded to nothing."""
    g = torch.full((4096, 200), 0.02)
    g[:, 0] = 127.0
    weight = torch.ones(200, 40)
    weight[0] = 0.0
    found = _eight(g.bfloat16(), weight.bfloat16()).double()
    assert float(found.mean()) == pytest.approx(199 * 0.02, rel=0.03)
    assert float(found.min()) < 3.0 < 5.0 < float(found.max())  # no row has it exactly


@pytest.mark.parametrize("most", [0.3, 0.7, 1.1])
def test_the_largest_numbers_of_many_rows_stay_within_their_byte(most: float) -> None:
    """Lifted by a rounding of the sum to one more than there is room for, such a number would change its sign."""
    g = torch.full((1 << 17, 64), most).bfloat16()
    found = _eight(g, torch.ones(64, 1).bfloat16())
    assert float((found / (64 * g[0, 0]) - 1).abs().max()) < 0.01


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_says_so_where_it_counts(odd: float) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(20, 70).bfloat16(), torch.randn(40, 70).bfloat16()
    x[3, 5], weight[7, 1] = odd, odd
    found = _eight(x, weight.t().contiguous())
    touched = torch.zeros(20, 40, dtype=torch.bool)
    touched[3], touched[:, 7] = True, True
    assert found[touched].isnan().all()
    assert found[~touched].isfinite().all()


def test_rows_of_zeros_give_zeros() -> None:
    x, weight = torch.zeros(3, 65).bfloat16(), torch.randn(65, 5).bfloat16()
    assert not _eight(x, weight).any()
    assert not _eight(weight.t().contiguous(), x.t().contiguous()).any()


def test_a_layer_takes_8_bits_for_the_gradient_of_what_goes_in() -> None:
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
        assert 0 < off < 0.02 if name == "dx" else off == 0, name
