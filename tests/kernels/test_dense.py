"""Products of bfloat16 matrices in C++ against float64, and a layer made of them against torch's."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from s2s.kernels import dense
from s2s.kernels.vectors import multiplies_pairs

needs_vectors = pytest.mark.skipif(not multiplies_pairs(), reason="no vectors of bfloat16 pairs here")


def _near(found: Tensor, wanted: Tensor) -> bool:
    """As near as sums in float32 and one rounding at the end come."""
    assert found.dtype == torch.bfloat16
    return bool((found.double() - wanted).norm() <= 0.004 * wanted.norm() + 1e-30)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape).bfloat16()


@needs_vectors
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("every_size")
def test_products_are_those_of_float64(threads: int) -> None:
    """Rows and columns beyond whole tiles, depths beyond a block; rows that lie apart, and a view that begins later."""
    torch.set_num_threads(threads)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 130), st.integers(1, 130), st.integers(1, 800), st.integers(0, 99))
    def check(rows: int, columns: int, depth: int, seed: int) -> None:
        torch.manual_seed(seed)
        x, weight, bias = _random(rows, depth), _random(columns, depth), torch.randn(columns)
        assert _near(dense.by_rows(x, weight), x.double() @ weight.double().T)
        assert _near(dense.by_rows(x, weight, bias), x.double() @ weight.double().T + bias)
        assert _near(dense.by_columns(x, weight.t().contiguous()), x.double() @ weight.double().T)
        g, y = _random(depth, rows + 3)[:, 2 : 2 + rows], _random(depth + 1, columns)[1:]
        assert _near(dense.over_rows(g, y), g.double().T @ y.double())

    check()


@needs_vectors
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(1, 1, 1), (7, 13, 33), (14, 50, 260), (100, 3, 17)])
@pytest.mark.usefixtures("every_size")
def test_many_products_and_their_gradients_are_those_of_torch(
    rows: int, columns: int, depth: int, threads: int
) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    left = torch.randn(5, rows, depth).bfloat16().requires_grad_()
    for way, right in (
        (dense.each_by_rows, torch.randn(5, columns, depth)),
        (dense.each_by_columns, torch.randn(5, depth, columns)),
    ):
        right = right.bfloat16().float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = way(left, right)
        across = right.transpose(1, 2) if way is dense.each_by_rows else right
        wanted = left.double() @ across.double()
        assert _near(y, wanted)
        dy = torch.randn(y.shape).bfloat16()
        found = torch.autograd.grad(y, (left, right), dy)
        exact = torch.autograd.grad(wanted, (left, right), dy.double())
        for own, other, of in zip(found, exact, (left, right), strict=True):
            assert own.dtype == of.dtype
            assert _near(own.bfloat16(), other.double())


@pytest.mark.usefixtures("every_size")
def test_many_products_outside_autocast_are_torch_s() -> None:
    left, right = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    assert torch.equal(dense.each_by_rows(left, right), left @ right.mT)
    assert torch.equal(dense.each_by_columns(left, right.mT), left @ right.mT)


@needs_vectors
@pytest.mark.usefixtures("every_size")
def test_other_dtypes_are_left_to_torch() -> None:
    exact = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(dense.over_rows(exact, exact), exact.t() @ exact)


@needs_vectors
@pytest.mark.usefixtures("every_size")
def test_what_is_no_number_stays_in_its_row() -> None:
    x, weight = _random(40, 64), _random(33, 64)
    x[7, 3] = torch.nan
    y = dense.by_rows(x, weight)
    assert y[7].isnan().all()
    assert y[torch.arange(40) != 7].isfinite().all()


@needs_vectors
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.usefixtures("every_size")
def test_a_layer_gives_what_torch_gives_under_autocast(bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(34, 21, bias=bias), torch.randn(5, 7, 34, requires_grad=True)
    inputs = (x, *layer.parameters())
    found = []
    for compute in (lambda: dense.linear(layer, x), lambda: layer(x)):
        with torch.autocast("cpu", torch.bfloat16):
            y = compute()
        assert y.dtype == torch.bfloat16
        assert y.shape == (5, 7, 21)
        found.append((y, *torch.autograd.grad(y.float().square().sum(), inputs)))
    for left, right in zip(*found, strict=True):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, rtol=0.02, atol=0.05)


@pytest.mark.usefixtures("every_size")
def test_a_layer_outside_autocast_is_the_layer_itself() -> None:
    layer, x = nn.Linear(8, 4).double(), torch.randn(3, 8, dtype=torch.float64)
    assert torch.equal(dense.linear(layer, x), layer(x))


@pytest.mark.usefixtures("every_size")
def test_another_layer_answers_for_itself() -> None:
    """One with weights of 8 bits, say, or one that a test put there."""

    class Double(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    layer, x = Double(8, 4), torch.randn(3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(dense.linear(layer, x), layer(x))


@needs_vectors
@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_new_sizes_leave_nothing_behind() -> None:
    """In training as in answering; a product of torch's leaves 250 KB for each (torch 2.13)."""
    body = """
import ctypes, torch
from s2s.kernels import dense, few
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena o s h mapped u f used free keep".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
layer = torch.nn.Linear(256, 256)
weight = layer.weight.detach().bfloat16()
def used(rows):
    x = torch.randn(8, rows, 256, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = dense.linear(layer, x)
        dense.each_by_columns(dense.each_by_rows(y, x), x).float().sum().backward()
    with torch.no_grad():
        few.product(x, weight, layer.bias)
    layer.zero_grad()
    del x, y
    info = libc.mallinfo2()
    return info.used + info.mapped
used(300)
before = used(299)
for rows in range(20, 120):
    last = used(rows)
print(last - before)
"""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 5e6
