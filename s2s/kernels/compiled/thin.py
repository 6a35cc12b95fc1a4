"""The product of few inputs with their weights in C++.

Shapes: B batch, T time, I input, G gates, N = B * T rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.fused import products

FEW = 4
"""Up to so many inputs, and in float32, these are faster than a general product."""


def _thin(x_BTI: Tensor) -> bool:
    return x_BTI.shape[2] <= FEW and x_BTI.dtype == torch.float32


def _project(x_BTI: Tensor, weight_GI: Tensor, bias_G: Tensor, /) -> Tensor:
    if not _thin(x_BTI):
        return products.project(x_BTI, weight_GI, bias_G)
    batch, time, inputs = x_BTI.shape
    gates_BTG = x_BTI.new_empty(batch, time, len(weight_GI))
    sizes = (batch * time, inputs, len(weight_GI))
    call("thin", "thin_project", sizes, None, x_BTI, weight_GI.contiguous(), bias_G.contiguous(), gates_BTG)
    return gates_BTG


def _backward(
    dgates_BTG: Tensor, x_BTI: Tensor, weight_GI: Tensor, /, *, needs_x: bool
) -> tuple[Tensor | None, Tensor]:
    if not _thin(x_BTI):
        return products.project_backward(dgates_BTG, x_BTI, weight_GI, needs_x=needs_x)
    batch, time, inputs = x_BTI.shape
    dx_BTI = torch.empty_like(x_BTI) if needs_x else None
    dweight_GI = torch.empty_like(weight_GI)
    sizes = (batch * time, inputs, len(weight_GI))
    call("thin", "thin_backward", sizes, None, dgates_BTG, x_BTI, weight_GI.contiguous(), dx_BTI, dweight_GI)
    return dx_BTI, dweight_GI


INPUT = products.Input(_project, _backward)
