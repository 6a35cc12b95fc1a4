"""Training with products in 8 bits on the CPU: y = x W^T and dx = dy W, whose instruction does twice as much.

dW = dy^T x, whose sums are the longest, stays in bfloat16 (SwitchBack: Wortsman et al. 2023). Rows of x and dy have a
scale each, W one for each column of the product (`compiled/source/eights.hpp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from s2s.kernels.vectors import multiplies_fours

_ON = ContextVar("eight_bits", default=False)


@contextmanager
def eight_bits() -> Iterator[None]:
    """The context in which layers, scans' inputs and the output layer take 8 bits, forward and backward, where this
    machine can; what else would be in bfloat16 stays so (`docs/kernels.md`).
    """
    token = _ON.set(True)
    try:
        yield
    finally:
        _ON.reset(token)


def on() -> bool:
    """Whether products are in 8 bits here and now."""
    return _ON.get() and multiplies_fours()
