# mypy: allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
"""What the kernels share. A kernel's tensors come as one table of int64 on the device, see `s2s.kernels.triton.launch`.

Shapes: M rows of a tile, N its columns, K what a product sums over.
"""

from __future__ import annotations

import triton
import triton.language as tl

# As a string, the interpreter of Triton 3.2 knows it under this name only.
from triton.language import constexpr

CLOCK = constexpr(0)
TIME = constexpr(1)
BATCH = constexpr(2)
FIRST = constexpr(3)


@triton.jit
def number(table, slot: constexpr):
    """CLOCK: the step to begin with; TIME: T; BATCH: B."""
    return tl.load(table + slot)


@triton.jit
def address(table, tensor: constexpr, dtype: constexpr):
    """Pointer to the tensor of this number."""
    return tl.load(table + FIRST + tensor).to(tl.pointer_type(dtype))


@triton.jit
def multiply_add(a_MK, b_KN, sum_MN, PRECISION: constexpr):
    """sum + a b. "plain" is for what tl.dot does not take: float64 in older versions, bfloat16 in the interpreter."""
    if PRECISION == "plain":
        a_MK, b_KN = a_MK.to(sum_MN.dtype), b_KN.to(sum_MN.dtype)
        sum_MN += tl.sum(a_MK[:, :, None] * b_KN[None, :, :], 1)
    else:
        sum_MN = tl.dot(a_MK, b_KN, sum_MN, input_precision=PRECISION)
    return sum_MN


@triton.jit
def product(a_MK, b_KN, valid_N, sum_MN, LENGTH: constexpr, BLOCK_K: constexpr, PRECISION: constexpr):
    """sum + a b in blocks of K; a and b are pointers to the first block, K has stride 1 in both.

    Both lie in memory made by `launch.padded`: whole blocks of K, and rows of whole 16-byte words, which is not to be
    seen from an address out of a table.
    """
    for k in range(0, LENGTH, BLOCK_K):
        b = tl.load(tl.multiple_of(b_KN + k, [16, 16]), mask=valid_N[None, :], other=0.0)
        sum_MN = multiply_add(tl.load(tl.multiple_of(a_MK + k, [16, 16])), b, sum_MN, PRECISION)
    return sum_MN


@triton.jit
def tanh(x):
    """tanh x, with the absolute error of exp (triton.language has none)."""
    e = tl.exp(-2 * tl.abs(x))
    y = (1 - e) / (1 + e)
    return tl.where(x < 0, -y, y)


@triton.jit
def relu(x):
    """max(x, 0), and NaN of NaN, which tl.maximum would hide."""
    return tl.where(x < 0, 0.0, x)
