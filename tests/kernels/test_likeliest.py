"""The likeliest tokens of a beam: the compiled pass equals log softmax and topk."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.kernels import likeliest as module
from s2s.kernels.compiled import not_built
from s2s.kernels.likeliest import likeliest

pytestmark = pytest.mark.skipif(not_built("likeliest") is not None, reason="no C++ compiler")

DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 70)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
    threads=st.integers(1, 2),
)
def test_it_equals_log_softmax_and_topk(
    sizes: tuple[int, int, int], dtype: torch.dtype, seed: int, threads: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Values of their own each, also after rounding to bfloat16, so that the order is not a matter of taste.
    count = sizes[0] * sizes[1] * sizes[2]
    logits = (torch.randperm(count, generator=generator) / 16 - 8).to(dtype).view(sizes)
    score = -torch.rand(sizes[:2], generator=generator, dtype=torch.float64)
    forbidden = torch.randperm(sizes[2], generator=generator)[: sizes[2] // 3]
    wanted = min(6, sizes[1] * sizes[2])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = likeliest(logits, score, wanted, forbidden)
    finally:
        torch.set_num_threads(before)
    right = module._plain(logits, score, wanted, forbidden)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(found.score_BC.double(), right.score_BC.double(), rtol=tolerance, atol=tolerance)
    alive = ~found.score_BC.isneginf()
    total = module._plain(logits, score, sizes[1] * sizes[2], forbidden)
    by_place = torch.empty_like(total.score_BC).scatter_(1, total.place_BC, total.score_BC)
    at_place = by_place.gather(1, found.place_BC)[alive].double()
    torch.testing.assert_close(at_place, found.score_BC[alive].double(), rtol=tolerance, atol=tolerance)
    for row, ok in zip(found.place_BC, alive, strict=True):
        assert len(set(row[ok].tolist())) == int(ok.sum())


def test_a_hypothesis_without_children_has_none() -> None:
    found = likeliest(torch.tensor([[[9.0, 8.0], [0.0, 1.0]]]), torch.tensor([[-torch.inf, -1.0]]), 3)
    assert found.place_BC[0, :2].tolist() == [3, 2]
    assert found.score_BC[0, 2] == -torch.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_equals_the_first_is_taken(dtype: torch.dtype) -> None:
    found = likeliest(torch.zeros(1, 2, 40, dtype=dtype), torch.zeros(1, 2), 3)
    assert found.place_BC.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 1, 40, dtype=dtype)
    logits[1, 0, 7] = torch.nan
    found = likeliest(logits, torch.zeros(2, 1), 2)
    assert found.score_BC.isnan().tolist() == [[False, False], [True, True]]
    assert module._plain(logits, torch.zeros(2, 1), 2, None).score_BC[1, 0].isnan()
