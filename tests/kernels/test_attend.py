"""Attention of single queries in C++ equals what torch's operations give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.kernels.attend import attend, serves
from s2s.kernels.compiled import not_built

pytestmark = pytest.mark.skipif(not_built("attend") is not None, reason="no C++ compiler")


@given(
    sizes=st.tuples(*(st.integers(1, most) for most in (4, 5, 20, 40, 50))),
    additive=st.booleans(),
    seed=st.integers(0, 99),
    threads=st.integers(1, 2),
)
def test_equals_softmax_and_products(
    sizes: tuple[int, int, int, int, int], additive: bool, seed: int, threads: int
) -> None:
    sentences, each, positions, width, value = sizes
    torch.manual_seed(seed)
    query, keys = 2 * torch.randn(sentences * each, width), torch.randn(sentences, positions, width)
    values, mask = torch.randn(sentences, positions, value), torch.rand(sentences, positions) < 0.7
    energy = torch.randn(width) if additive else None
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        context, weights = attend(query, keys, values, mask, energy)
    finally:
        torch.set_num_threads(before)
    own = query.double().view(sentences, each, 1, width)
    seen = keys.double().unsqueeze(1)
    scores = (own * seen).sum(-1) if energy is None else torch.tanh(own + seen) @ energy.double()
    expected = scores.masked_fill(~mask.unsqueeze(1), -1e9).softmax(-1)
    torch.testing.assert_close(weights.double(), expected.view(weights.shape), rtol=2e-4, atol=1e-5)
    torch.testing.assert_close(context.double(), (expected @ values.double()).view(context.shape), rtol=2e-4, atol=2e-5)
    assert not weights[~mask.repeat_interleave(each, 0) & mask.any(1).repeat_interleave(each).unsqueeze(1)].any()


def test_what_it_serves() -> None:
    plain, learned = torch.zeros(2, 3), torch.zeros(2, 3, requires_grad=True)
    assert serves(plain, plain, None)
    assert not serves(plain, learned)
    with torch.no_grad():
        assert serves(plain, learned)
        with torch.autocast("cpu", torch.bfloat16):
            assert not serves(plain)
    assert not serves(plain.double())
    assert not serves(plain.bfloat16())
