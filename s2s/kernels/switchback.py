"""Training with products in 8 bits on the CPU, whose instruction does twice as much as that of bfloat16.

They are the gradients of what goes into a layer, dx = dy W, and all of the output layer's. The gradients of other
weights, dW = dy^T x, whose sums are the longest, stay in bfloat16, as in SwitchBack (Wortsman et al. 2023), and unlike
there so does y = x W^T: with it in 8 bits attention takes hold later (`docs/kernels.md`). A row of dy has a scale, and
is rounded up or down with the probability of what is left over; W has one for each column of the product
(`eights.hpp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from s2s.kernels.vectors import multiplies_fours

_ON = ContextVar("eight_bits", default=False)


@contextmanager
def eight_bits() -> Iterator[None]:
    """The context in which these products are in 8 bits, where this machine can; others in bfloat16 stay so."""
    token = _ON.set(True)
    try:
        yield
    finally:
        _ON.reset(token)


def on() -> bool:
    """Whether products are in 8 bits here and now."""
    return _ON.get() and multiplies_fours()
