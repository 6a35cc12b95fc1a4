"""Products of float32 with a matrix in bfloat16; those of few rows cost what it costs to read the matrix.

Shapes: R rows, K width, N rows of the matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import call

FEW = 8
"""Rows that a loop over the matrix serves better than a general product."""


def few(x: Tensor, matrix: Tensor) -> bool:
    """Whether `product` or `kernels.eight.product` has a loop for so few rows of float32 with this matrix, here."""
    return (
        0 < x.numel() <= FEW * x.shape[-1]
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and matrix.is_contiguous()
        and not_built("few") is None
    )


def product(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    """x W^T + b, (..., N), in the dtype of b (float32 without one); x is rounded where the CPU multiplies bfloat16."""
    if not (few(x, weight_NK) and weight_NK.dtype == torch.bfloat16):
        y = F.linear(x.to(weight_NK.dtype), weight_NK)
        return y.float() if bias_N is None else y + bias_N
    y = x.new_empty(*x.shape[:-1], len(weight_NK))
    sizes = (x.numel() // x.shape[-1], x.shape[-1], len(weight_NK))
    call("few", "few_half", sizes, None, x.contiguous(), weight_NK, None if bias_N is None else bias_N.contiguous(), y)
    return y
