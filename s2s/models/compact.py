"""Models that only answer: the same products with smaller numbers."""

# R rows, F width of the features, V vocabulary

from __future__ import annotations

import contextlib
from typing import Literal

import torch
from torch import Tensor, nn

from s2s.cores import Recurrent
from s2s.kernels import BackendUnavailable, few, find
from s2s.kernels.eight import Rounded, product, rounded
from s2s.models.writer import Writer


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
        return few.product(x, self.weight, self.bias)


SMALL = 16
"""Products narrower than this on one side stay as they are: they cost nothing, and a score's digits matter."""


def slim(model: Writer, precision: Literal["bfloat16", "int8"]) -> None:
    """The output layer in this precision; on the CPU all other matrices that are multiplied with in bfloat16.

    States, biases, embeddings and sums keep their type. The model can no longer be trained.
    """
    model.output = compact(model.output, precision)
    if model.output.weight.device.type != "cpu":
        return
    for module in list(model.modules()):
        if isinstance(module, Recurrent):
            _narrow(module)
        for name, layer in module.named_children():
            if type(layer) is nn.Linear and min(layer.in_features, layer.out_features) >= SMALL:
                setattr(module, name, HalfLinear(layer))


def _narrow(layer: Recurrent) -> None:
    """The matrices of a core in bfloat16, on a backend that takes them beside biases in float32."""
    for parameter in layer.cell.parameters():
        if parameter.dim() == 2:
            parameter.requires_grad_(False)
            parameter.data = parameter.data.bfloat16()
    layer.backend = "reference"
    for backend in ("compiled", "fused"):
        with contextlib.suppress(BackendUnavailable):
            find(layer.cell.kernel, backend, torch.device("cpu"), torch.bfloat16)
            layer.backend = backend
            return


def compact(layer: nn.Linear, precision: Literal["bfloat16", "int8"]) -> nn.Linear:
    """A layer that takes the place of another one."""
    return Int8Linear(layer) if precision == "int8" else HalfLinear(layer)
