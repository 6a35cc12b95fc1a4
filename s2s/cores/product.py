"""Products of a cell, whose matrices may be kept in a narrower type than its states.

Shapes: B batch, I input, G gates, H hidden.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s.kernels import few


def affine(x: Tensor, weight_GI: Tensor, bias_G: Tensor | None = None) -> Tensor:
    """x W^T + b. Where W is narrower than b, the product is in W's type and what follows in b's."""
    if _alike(x, weight_GI, bias_G):
        return F.linear(x, weight_GI, bias_G)
    return few.product(x, weight_GI, bias_G)


def add_product(g_BG: Tensor, h_BH: Tensor, weight_HG: Tensor) -> Tensor:
    """g + h W, likewise; g may be one row for all."""
    if _alike(h_BH, weight_HG, g_BG):
        return torch.addmm(g_BG, h_BH, weight_HG)
    if g_BG.dim() == 1:
        return few.product(h_BH, weight_HG.t(), g_BG)
    return few.product(h_BH, weight_HG.t(), None) + g_BG


def _alike(x: Tensor, weight: Tensor, other: Tensor | None) -> bool:
    """Or autocast makes them so."""
    alike = x.dtype == weight.dtype and (other is None or other.dtype == weight.dtype)
    return alike or torch.is_autocast_enabled(x.device.type)
