"""Output layers in smaller numbers against the layer itself."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from s2s.models.compact import compact


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (2, 3, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_nearly_the_same(
    precision: Literal["int8", "bfloat16"], shape: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(24, 50, bias=bias)
    with torch.no_grad():
        layer.weight[3] *= 1_000  # scales are those of a row: one with large numbers spoils no other
        layer.weight[4] = 0
    x = torch.randn(shape)
    with torch.inference_mode():
        expected, found = layer(x), compact(layer, precision)(x)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    size = x.norm(dim=-1, keepdim=True) * layer.weight.norm(dim=1)
    assert ((found - expected).abs() <= 0.01 * size + 1e-6).all()


def test_it_holds_no_second_copy_of_the_weights() -> None:
    layer = nn.Linear(24, 50)
    assert (
        compact(layer, "int8").weight.nbytes * 4 == compact(layer, "bfloat16").weight.nbytes * 2 == layer.weight.nbytes
    )


def test_rows_of_zeros_stay_zero() -> None:
    layer = nn.Linear(24, 50, bias=False)
    with torch.inference_mode():
        assert not compact(layer, "int8")(torch.zeros(2, 24)).any()
