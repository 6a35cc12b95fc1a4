"""What every scan over a layer looks like from outside.

Shapes: B batch, T time, I input, K kept of a step.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

State = tuple[Tensor, ...]


class Run(Protocol):
    """(x_BTI, state, weights of the layer, lengths_B or None) -> (hidden_BTK, final state).

    lengths_B lies on the device of the inputs; None means that every row has T steps. Inputs at padding are zero.
    A finished row keeps its state (length 0: the first state). hidden_BTK at padding is finite and otherwise free.
    `every=False`: only the final state will be read, and hidden_BTK may be anything.
    """

    def __call__(
        self, x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool
    ) -> tuple[Tensor, State]: ...
