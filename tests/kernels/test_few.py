"""Products of few rows with a matrix of smaller numbers: the compiled loops equal torch's products."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.kernels import eight, few
from s2s.kernels.compiled import not_built

pytestmark = pytest.mark.skipif(not_built("few") is not None, reason="no C++ compiler")

SIZES = st.tuples(st.integers(1, few.FEW), st.integers(1, 200), st.integers(1, 150))


@given(sizes=SIZES, bias=st.booleans(), seed=st.integers(0, 99), threads=st.integers(1, 2))
def test_with_a_matrix_in_bfloat16(sizes: tuple[int, int, int], bias: bool, seed: int, threads: int) -> None:
    rows, width, out = sizes
    torch.manual_seed(seed)
    x, weight = torch.randn(rows, width), torch.randn(out, width).bfloat16()
    bias_N = torch.randn(out) if bias else None
    assert few.few(x, weight)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = few.product(x, weight, bias_N)
    finally:
        torch.set_num_threads(before)
    # x is rounded where the CPU multiplies bfloat16, and as it is elsewhere.
    bias_N = None if bias_N is None else bias_N.double()
    ways = [torch.nn.functional.linear(way.double(), weight.double(), bias_N) for way in (x.bfloat16(), x)]
    assert any(torch.allclose(found.double(), way, rtol=1e-4, atol=1e-4) for way in ways)


@given(sizes=SIZES, bias=st.booleans(), seed=st.integers(0, 99))
def test_with_a_matrix_in_8_bits(sizes: tuple[int, int, int], bias: bool, seed: int) -> None:
    rows, width, out = sizes
    torch.manual_seed(seed)
    x, weight = eight.rounded(torch.randn(rows, width)), eight.rounded(torch.randn(out, width))
    bias_N = torch.randn(out) if bias else None
    numbers = x.numbers_RF.long() @ weight.numbers_RF.long().T
    expected = numbers * x.scale_R.unsqueeze(1) * weight.scale_R + (0 if bias_N is None else bias_N)
    torch.testing.assert_close(eight.product(x, weight, bias_N), expected, rtol=1e-5, atol=1e-5)


def test_the_extremes_of_8_bits() -> None:
    """Sums of 127 * -127 over a wide row, which 16 bits in between would not hold."""
    x = eight.Rounded(torch.full((1, 4096), 127, dtype=torch.int8), torch.ones(1))
    weight = eight.Rounded(torch.full((3, 4096), -127, dtype=torch.int8), torch.ones(3))
    assert eight.product(x, weight, None).tolist() == [[-127 * 127 * 4096.0] * 3]


@pytest.mark.parametrize("shape", [(9, 24), (2, 5, 24), (0, 24)])
def test_more_rows_or_none_take_the_general_product(shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape), torch.randn(30, 24).bfloat16()
    assert not few.few(x, weight)
    torch.testing.assert_close(few.product(x, weight, None), x @ weight.float().T, rtol=0.05, atol=0.2)


def test_a_matrix_that_is_turned_takes_the_general_product() -> None:
    weight = torch.randn(24, 30).bfloat16().T
    assert not few.few(torch.randn(1, 24), weight)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_many_rows_with_a_matrix_or_its_transpose(turned: bool, bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 40, 90), torch.randn(70, 90).bfloat16()
    if turned:
        weight = weight.t().contiguous().t()
    bias_N = torch.randn(70) if bias else None
    found = few.product(x, weight, bias_N)
    wanted = torch.nn.functional.linear(
        x.bfloat16().double(), weight.double(), None if bias_N is None else bias_N.double()
    )
    assert found.shape == (3, 40, 70)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=0.01, atol=0.1)


def test_no_rows_give_none() -> None:
    assert few.product(torch.randn(0, 8), torch.randn(4, 8).bfloat16(), None).shape == (0, 4)
