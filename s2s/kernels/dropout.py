"""Dropout whose mask costs little to draw: 16 random bits an element, where torch draws a number for each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import NAMES, call

_STEPS = 1 << 16
_MOST = 1 << 31
"""Elements that the loop in C++ can count."""


def dropout(x: Tensor, share: float, training: bool = True) -> Tensor:
    """x with a share of its elements zero, drawn from torch's generator, and the others times 1 / (1 - share).

    On the CPU, where there is a compiler, the share is the nearest multiple of 2^-16, and the mean of the mask is 1 by
    that; elsewhere this is torch's own dropout.
    """
    if not training or not share:
        return x
    threshold = round(share * _STEPS)
    if not (0 < threshold < _STEPS and _compiled(x)):
        return F.dropout(x, share)
    return _Dropout.apply(x, _bits(x.numel()), threshold)  # type: ignore[no-any-return, no-untyped-call]


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in NAMES and x.numel() < _MOST and not_built("dropout") is None


def _bits(count: int) -> Tensor:
    """So many times 16 random bits."""
    return torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)


class _Dropout(torch.autograd.Function):
    """out = m x and dx = m dout, with m 0 or 1 / (1 - share)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor, threshold: int) -> Tensor:
        ctx.save_for_backward(bits)
        ctx.threshold = threshold
        return _masked(x, bits, threshold)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, None, None]:
        (bits,) = ctx.saved_tensors
        return _masked(d_out, bits, ctx.threshold), None, None


def _masked(x: Tensor, bits: Tensor, threshold: int) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    call("dropout", "dropout", (x.numel(), threshold), None, x, bits, out)
    return out
