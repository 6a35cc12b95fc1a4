"""Products of numbers in 8 bits on the CPU, with one scale a row on each side.

Shapes: R rows, F width of a row, V rows of the weight.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import call
from s2s.kernels.few import few

_LEAST = torch.finfo(torch.float32).tiny


class Rounded(NamedTuple):
    """x = numbers * scale, nearly: the largest of a row is 127; a row of zeros has zeros."""

    numbers_RF: Tensor
    """int8, from -127 to 127."""
    scale_R: Tensor


def rounded(x_RF: Tensor) -> Rounded:
    """A float32 matrix in 8 bits; a row with a NaN has the scale NaN."""
    if not _compiled(x_RF):
        scale_R1 = x_RF.abs().amax(1, keepdim=True).clamp_min(_LEAST) / 127
        return Rounded((x_RF / scale_R1).nan_to_num(0.0).round().to(torch.int8), scale_R1.squeeze(1))
    x_RF = x_RF.contiguous()
    found = Rounded(torch.empty(x_RF.shape, dtype=torch.int8), x_RF.new_empty(len(x_RF)))
    call("eight", "round_rows", tuple(x_RF.shape), None, x_RF, torch.tensor(_LEAST), *found)
    return found


def product(x: Rounded, weight: Rounded, bias_V: Tensor | None) -> Tensor:
    """x W^T + b, (R, V) in float32; the sums are exact, in 32 bits."""
    if few(x.scale_R.unsqueeze(1).expand(x.numbers_RF.shape), weight.numbers_RF):
        y_RV = x.scale_R.new_empty(len(x.scale_R), len(weight.scale_R))
        sizes = (*x.numbers_RF.shape, len(weight.scale_R))
        call("few", "few_eight", sizes, None, x.scale_R, x.numbers_RF, weight.numbers_RF, weight.scale_R, bias_V, y_RV)
        return y_RV
    numbers_RV = torch._int_mm(x.numbers_RF, weight.numbers_RF.T)
    if not _compiled(x.scale_R):
        y_RV = numbers_RV.float().mul_(x.scale_R.unsqueeze(1) * weight.scale_R)
        return y_RV if bias_V is None else y_RV.add_(bias_V)
    y_RV = x.scale_R.new_empty(numbers_RV.shape)
    call("eight", "scale_rows", tuple(y_RV.shape), None, x.scale_R, numbers_RV, weight.scale_R, bias_V, y_RV)
    return y_RV


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not_built("eight") is None
