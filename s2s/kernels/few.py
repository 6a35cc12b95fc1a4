"""Products of float32 with a matrix in bfloat16; those of few rows cost what it costs to read the matrix.

Shapes: R rows, K width, N rows of the matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels import dense
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


LARGE = 1 << 20
"""Numbers of a matrix that is not packed anew for each product."""


def _many(x: Tensor, weight_NK: Tensor) -> Tensor:
    """Of many rows: a matrix or its transpose lies in order."""
    if weight_NK.numel() > LARGE or not x.numel():
        return F.linear(x, weight_NK)
    rows = x.flatten(0, -2)
    turned = not weight_NK.is_contiguous() and weight_NK.t().is_contiguous()
    y_RN = dense.by_columns(rows, weight_NK.t()) if turned else dense.by_rows(rows, weight_NK)
    return y_RN.view(*x.shape[:-1], -1)


def product(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    """x W^T + b, (..., N), in the dtype of b (float32 without one); x is rounded where the CPU multiplies bfloat16."""
    if not (few(x, weight_NK) and weight_NK.dtype == torch.bfloat16):
        y = _many(x.to(weight_NK.dtype), weight_NK)
        return y.float() if bias_N is None else y + bias_N
    y = x.new_empty(*x.shape[:-1], len(weight_NK))
    sizes = (x.numel() // x.shape[-1], x.shape[-1], len(weight_NK))
    call("few", "few_half", sizes, None, x.contiguous(), weight_NK, None if bias_N is None else bias_N.contiguous(), y)
    return y
