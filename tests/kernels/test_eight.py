"""Numbers in 8 bits: what is compiled equals what torch computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s2s.kernels import eight
from s2s.kernels.compiled import not_built
from s2s.kernels.eight import product, rounded


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(eight, "_compiled", lambda _: False)
    elif not_built("eight"):
        pytest.skip("no C++ compiler")


def matrix(rows: int, width: int, seed: int) -> Tensor:
    """Rows of very different sizes, one of them of zeros."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator) * torch.logspace(-3, 3, rows).unsqueeze(1)
    x[rows // 2] = 0.0
    return x


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 17), (40, 256), (0, 8)])
def test_rounding_is_off_by_half_a_step_at_most(rows: int, width: int) -> None:
    x = matrix(rows, width, 1) if rows else torch.empty(0, width)
    numbers, scale = rounded(x)
    assert numbers.dtype == torch.int8
    assert int(numbers.abs().max() if rows else 0) <= 127
    assert ((numbers * scale.unsqueeze(1) - x).abs() <= 0.5001 * scale.unsqueeze(1)).all()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_that_of_the_rounded_numbers(bias: bool) -> None:
    x, weight = rounded(matrix(5, 24, 1)), rounded(matrix(50, 24, 2))
    bias_V = torch.randn(50) if bias else None
    expected = (x.numbers_RF.double() * x.scale_R.unsqueeze(1)) @ (
        weight.numbers_RF.double() * weight.scale_R.unsqueeze(1)
    ).T
    expected = expected + (0 if bias_V is None else bias_V)
    torch.testing.assert_close(product(x, weight, bias_V).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("way")
def test_nan_stays_nan_in_its_row() -> None:
    x = torch.ones(3, 8)
    x[1, 2] = torch.nan
    y = product(rounded(x), rounded(torch.ones(4, 8)), None)
    assert y.isnan().all(1).tolist() == [False, True, False]


@pytest.mark.skipif(not_built("eight") is not None, reason="no C++ compiler")
@given(rows=st.integers(1, 9), width=st.integers(1, 70), seed=st.integers(0, 99), threads=st.integers(1, 2))
def test_both_ways_give_the_same(rows: int, width: int, seed: int, threads: int) -> None:
    x = matrix(rows, width, seed)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = rounded(x)
    finally:
        torch.set_num_threads(before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eight, "_compiled", lambda _: False)
        expected = rounded(x)
    torch.testing.assert_close(found.scale_R, expected.scale_R, rtol=1e-6, atol=0)
    assert (found.numbers_RF.int() - expected.numbers_RF.int()).abs().max() <= 1  # where a half falls on another side
