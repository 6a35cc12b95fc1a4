"""Output layers for models that only answer: the same product with smaller numbers."""

# R rows, F width of the features, V vocabulary

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from s2s.kernels.eight import Rounded, product, rounded


class Int8Linear(nn.Linear):
    """y = s_R s_V (x_8 W_8^T) + b, all numbers of the product in 8 bits: x_8 = round(x / s_R), W_8 = round(W / s_V),
    with one scale s_R a row of x and s_V a row of W, so that the largest of a row is 127.

    Args:
        layer: what it does the work of; its bias is shared.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        numbers_VF, scale_V = rounded(layer.weight.detach().float())
        self.weight = nn.Parameter(numbers_VF, requires_grad=False)
        self.bias = layer.bias
        self.scale_V: Tensor
        self.register_buffer("scale_V", scale_V)

    def forward(self, x: Tensor) -> Tensor:
        """(..., V) in float32."""
        rows = rounded(x.reshape(-1, self.in_features).float())
        y_RV = product(rows, Rounded(self.weight, self.scale_V), self.bias)
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
