"""R-Drop's loss against its formula in torch's own pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels import agreement
from s2s.kernels.agreement import linear_agreement
from s2s.kernels.cross_entropy import linear_cross_entropy


def _parts(rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(rows)
    one, other, weight = (torch.randn(size, 5, dtype=dtype, requires_grad=True) for size in (rows, rows, 13))
    bias = torch.randn(13, dtype=dtype, requires_grad=True)
    return one, other, weight, bias, torch.randint(13, (rows,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 40, 1 << 20])
@pytest.mark.parametrize("rows", [1, 7])
def test_equals_the_formula_and_its_gradients(
    rows: int, elements: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "ELEMENTS", elements)
    one, other, weight, bias, target = _parts(rows)
    total, nll = linear_agreement(one, other, weight, bias, target, strength=5.0, smoothing=smoothing)
    logits = [F.linear(features, weight, bias) for features in (one, other)]
    entropies = [F.cross_entropy(z, target, reduction="sum", label_smoothing=smoothing) for z in logits]
    log_p, log_q = (F.log_softmax(z, 1) for z in logits)
    apart = sum(
        F.kl_div(left, right, reduction="sum", log_target=True) for left, right in ((log_p, log_q), (log_q, log_p))
    )
    wanted = sum(entropies) / 2 + 5.0 / 4 * apart
    torch.testing.assert_close(total, wanted)
    torch.testing.assert_close(nll, sum(F.cross_entropy(z, target, reduction="sum") for z in logits) / 2)
    inputs = (one, other, weight, bias)
    ours, theirs = (torch.autograd.grad(3.0 * value, inputs) for value in (total, wanted))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)


def test_two_equal_readings_give_the_plain_loss() -> None:
    one, _, weight, bias, target = _parts(9)
    total, nll = linear_agreement(one, one, weight, bias, target, strength=5.0, smoothing=0.1)
    for found, wanted in zip((total, nll), linear_cross_entropy(one, weight, bias, target, smoothing=0.1), strict=True):
        torch.testing.assert_close(found, wanted)


def test_no_rows_give_zero() -> None:
    total, nll = linear_agreement(*_parts(0), strength=5.0)
    assert total.item() == nll.item() == 0


def test_bfloat16_products_stay_near_float32() -> None:
    one, other, weight, bias, target = _parts(64, torch.float32)
    exact, _ = linear_agreement(one, other, weight, bias, target, strength=1.0, smoothing=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = linear_agreement(one.bfloat16(), other.bfloat16(), weight, bias, target, strength=1.0, smoothing=0.1)
    assert total.dtype == torch.float32
    assert abs(total.item() / exact.item() - 1) < 0.02
    total.backward()  # type: ignore[no-untyped-call]
