"""Products of bfloat16 matrices on the CPU for training, whose sizes vary with every batch.

torch's own (oneDNN) compile a program for each size that they meet and keep it for a while: where every update has
other sizes, a tenth of its time goes there, and what is kept fills memory. These have one program for all sizes
(`compiled/source/dense.cpp`). Elsewhere, and for small products, torch's serve. Under `switchback.eight_bits` g W is
in 8 bits.

Shapes: M rows, K depth, N columns, B matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from s2s.kernels import switchback
from s2s.kernels.compiled.call import call
from s2s.kernels.vectors import multiplies_pairs

LEAST = 1 << 18
"""Multiplications from which on these serve."""

DEEPEST = 1 << 17
"""Of a product in 8 bits: longer sums might not fit into 32."""


def by_rows(x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """x W^T + b, (M, N) in the dtype of both; the bias may have any."""
    (rows, depth), columns = x_MK.shape, len(weight_NK)
    if not _serves(rows, columns, depth, x_MK, weight_NK):
        if bias_N is None:
            return torch.mm(x_MK, weight_NK.t())
        return torch.addmm(bias_N.to(weight_NK.dtype), x_MK, weight_NK.t())
    y_MN = x_MK.new_empty(rows, columns)
    bias = None if bias_N is None else bias_N.float().contiguous()
    sizes = (rows, columns, depth)
    call("dense", "dense_by_rows", sizes, None, x_MK.contiguous(), weight_NK.contiguous(), bias, y_MN)
    return y_MN


def by_columns(g_MK: Tensor, weight_KN: Tensor) -> Tensor:
    """g W, (M, N)."""
    (rows, depth), columns = g_MK.shape, weight_KN.shape[1]
    if not _serves(rows, columns, depth, g_MK, weight_KN):
        return torch.mm(g_MK, weight_KN)
    y_MN = g_MK.new_empty(rows, columns)
    kind = "dense_eight_by_columns" if switchback.on() and depth <= DEEPEST else "dense_by_columns"
    call("dense", kind, (rows, columns, depth), None, g_MK.contiguous(), weight_KN.contiguous(), y_MN)
    return y_MN


def over_rows(g_KM: Tensor, x_KN: Tensor) -> Tensor:
    """g^T x, (M, N). The rows of both may lie apart."""
    (depth, rows), columns = g_KM.shape, x_KN.shape[1]
    if not _serves(rows, columns, depth, g_KM, x_KN):
        return torch.mm(g_KM.t(), x_KN)
    g_KM, x_KN = (part if part.stride(1) == 1 else part.contiguous() for part in (g_KM, x_KN))
    y_MN = g_KM.new_empty(rows, columns)
    sizes = (rows, columns, depth, g_KM.stride(0), x_KN.stride(0))
    call("dense", "dense_over_rows", sizes, None, g_KM, x_KN, y_MN, apart=True)
    return y_MN


def each_over_rows(g_BKM: Tensor, x_BKN: Tensor) -> Tensor:
    """g_b^T x_b, (B, M, N)."""
    (_, depth, rows), columns = g_BKM.shape, x_BKN.shape[2]
    if not _serves(rows, columns, depth * len(g_BKM), g_BKM, x_BKN):
        return torch.bmm(g_BKM.transpose(1, 2), x_BKN)
    return _product("over_rows", g_BKM, x_BKN, (rows, columns, depth))


def each_by_rows(x_BMK: Tensor, weight_BNK: Tensor) -> Tensor:
    """x_b W_b^T, (B, M, N), with gradients: scores of queries and keys, say."""
    if _learns_each(x_BMK, weight_BNK, weight_BNK.shape[1]):
        return _each(_EachByRows, x_BMK, weight_BNK)
    return torch.bmm(x_BMK, weight_BNK.transpose(1, 2))


def each_by_columns(g_BMK: Tensor, weight_BKN: Tensor) -> Tensor:
    """g_b W_b, (B, M, N), with gradients: means of values, say."""
    if _learns_each(g_BMK, weight_BKN, weight_BKN.shape[2]):
        return _each(_EachByColumns, g_BMK, weight_BKN)
    return torch.bmm(g_BMK, weight_BKN)


def _each(function: type[torch.autograd.Function], left: Tensor, right: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return function.apply(left, right)  # type: ignore[no-any-return, no-untyped-call]


def _product(kind: str, left: Tensor, right: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """Of each matrix, (B, M, N); `sizes`: M, N, K."""
    y_BMN = left.new_empty(len(left), *sizes[:2])
    call("dense", f"dense_each_{kind}", (len(left), *sizes), None, left.contiguous(), right.contiguous(), y_BMN)
    return y_BMN


class _EachByRows(torch.autograd.Function):
    """y = x W^T: dx = dy W, dW = dy^T x; products in bfloat16."""

    @staticmethod
    def forward(ctx: Any, x_BMK: Tensor, weight_BNK: Tensor) -> Tensor:
        x, weight = x_BMK.bfloat16(), weight_BNK.bfloat16()
        ctx.save_for_backward(x, weight)
        ctx.kinds = x_BMK.dtype, weight_BNK.dtype
        return _product("by_rows", x, weight, (x.shape[1], weight.shape[1], x.shape[2]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BMN: Tensor) -> tuple[Tensor | None, ...]:
        x_BMK, weight_BNK = ctx.saved_tensors
        rows, columns, depth = *dy_BMN.shape[1:], x_BMK.shape[2]
        dx_BMK = _product("by_columns", dy_BMN, weight_BNK, (rows, depth, columns))
        dweight_BNK = _product("over_rows", dy_BMN, x_BMK, (columns, depth, rows))
        return dx_BMK.to(ctx.kinds[0]), dweight_BNK.to(ctx.kinds[1])


class _EachByColumns(torch.autograd.Function):
    """y = g W: dg = dy W^T, dW = g^T dy; products in bfloat16."""

    @staticmethod
    def forward(ctx: Any, g_BMK: Tensor, weight_BKN: Tensor) -> Tensor:
        g, weight = g_BMK.bfloat16(), weight_BKN.bfloat16()
        ctx.save_for_backward(g, weight)
        ctx.kinds = g_BMK.dtype, weight_BKN.dtype
        return _product("by_columns", g, weight, (g.shape[1], weight.shape[2], g.shape[2]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_BMN: Tensor) -> tuple[Tensor | None, ...]:
        g_BMK, weight_BKN = ctx.saved_tensors
        rows, columns, depth = *dy_BMN.shape[1:], g_BMK.shape[2]
        dg_BMK = _product("by_rows", dy_BMN, weight_BKN, (rows, depth, columns))
        dweight_BKN = _product("over_rows", g_BMK, dy_BMN, (depth, columns, rows))
        return dg_BMK.to(ctx.kinds[0]), dweight_BKN.to(ctx.kinds[1])


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """What the layer makes of x (..., K), with gradients; only what is exactly a `nn.Linear` may be computed here."""
    if type(layer) is nn.Linear and torch.is_autocast_enabled("cpu") and _learns_here(layer, x):
        with torch.autocast("cpu", enabled=False):
            y_MN = _Linear.apply(x.flatten(0, -2), layer.weight, layer.bias)  # type: ignore[no-untyped-call]
        return y_MN.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]
    return layer(x)  # type: ignore[no-any-return]


def _learns_here(layer: nn.Linear, x: Tensor) -> bool:
    return layer.weight.dtype == torch.float32 and _learns(x, x.numel() * len(layer.weight))


def _learns_each(left: Tensor, right: Tensor, columns: int) -> bool:
    kinds = all(side.dtype in (torch.float32, torch.bfloat16) for side in (left, right))
    return kinds and torch.is_autocast_enabled("cpu") and _learns(left, left.numel() * columns)


def _learns(x: Tensor, multiplications: int) -> bool:
    """Whether a product under autocast belongs to training, and here."""
    kinds = x.device.type == "cpu" and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return kinds and torch.is_grad_enabled() and multiplications >= LEAST and multiplies_pairs()


class _Linear(torch.autograd.Function):
    """y = x W^T + b: dx = dy W, dW = dy^T x, db = sum dy; products in bfloat16, or the first in 8 bits."""

    @staticmethod
    def forward(ctx: Any, x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        x, weight = x_MK.bfloat16(), weight_NK.bfloat16()
        ctx.save_for_backward(x, weight)
        ctx.kinds = x_MK.dtype, None if bias_N is None else bias_N.dtype
        return by_rows(x, weight, bias_N)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_MN: Tensor) -> tuple[Tensor | None, ...]:
        x_MK, weight_NK = ctx.saved_tensors
        kind, bias_kind = ctx.kinds
        with torch.autocast("cpu", enabled=False):
            dx_MK = by_columns(dy_MN, weight_NK).to(kind) if ctx.needs_input_grad[0] else None
            dweight_NK = over_rows(dy_MN, x_MK).float()
            return dx_MK, dweight_NK, None if bias_kind is None else dy_MN.sum(0, dtype=bias_kind)


def _serves(rows: int, columns: int, depth: int, *sides: Tensor) -> bool:
    kinds = all(side.dtype == torch.bfloat16 and side.device.type == "cpu" for side in sides)
    return kinds and rows * columns * depth >= LEAST and multiplies_pairs()
