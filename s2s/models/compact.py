"""Output layers for models that only answer: the same product with smaller numbers."""

# R rows, F width of the features, V vocabulary

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Int8Linear(nn.Linear):
    """y = s_R s_V (x_8 W_8^T) + b, all numbers of the product in 8 bits: x_8 = round(x / s_R), W_8 = round(W / s_V),
    with one scale s_R a row of x and s_V a row of W, so that the largest of a row is 127.

    Args:
        layer: what it does the work of; its bias is shared.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        numbers_VF, scale_V1 = _rounded(layer.weight.detach().float())
        self.weight = nn.Parameter(numbers_VF, requires_grad=False)
        self.bias = layer.bias
        self.scale_V: Tensor
        self.register_buffer("scale_V", scale_V1.squeeze(1))

    def forward(self, x: Tensor) -> Tensor:
        """(..., V) in float32."""
        numbers_RF, scale_R1 = _rounded(x.reshape(-1, self.in_features).float())
        y_RV = torch._int_mm(numbers_RF, self.weight.T).float().mul_(scale_R1 * self.scale_V)
        if self.bias is not None:
            y_RV += self.bias
        return y_RV.reshape(*x.shape[:-1], self.out_features)


class HalfLinear(nn.Linear):
    """The product in bfloat16.

    Args:
        layer: what it does the work of.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.weight = nn.Parameter(layer.weight.detach().bfloat16(), requires_grad=False)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., V) in float32."""
        y = F.linear(x.bfloat16(), self.weight).float()
        return y if self.bias is None else y + self.bias


def compact(layer: nn.Linear, precision: Literal["bfloat16", "int8"]) -> nn.Linear:
    """A layer that takes the place of another one."""
    return Int8Linear(layer) if precision == "int8" else HalfLinear(layer)


def _rounded(x_RF: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers from -127 to 127, and the (R, 1) scale of each row; a row of zeros has zeros."""
    scale_R1 = x_RF.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return (x_RF / scale_R1).round().to(torch.int8), scale_R1
