"""The simple recurrent network (Elman, "Finding Structure in Time", 1990).

Shapes: B batch, T time, I input, G gates (= H), H hidden.
"""

from __future__ import annotations

from typing import Literal, assert_never

from torch import Tensor

from s2s.cores.cell import Gated, Prepared, State
from s2s.cores.product import add_product, affine

Activation = Literal["tanh", "relu", "sigmoid"]


class Elman(Gated):
    """h_t = f(W x_t + b + U h_{t-1} + b'), f in tanh, relu, sigmoid. State (h,)."""

    def __init__(self, input_size: int, hidden_size: int, *, activation: Activation = "tanh") -> None:
        super().__init__(input_size, hidden_size, gates=1)
        self.activation: Activation = activation
        self.kernel = f"elman {activation}"
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        """W x + b + b'."""
        return affine(x_BTI, self.weight_ih, self.bias_ih + self.bias_hh)

    def prepare(self) -> Prepared:
        """(U^T,)."""
        return (self.weight_hh.t(),)

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """h = f(g + U h)."""
        (h_BH,) = state
        (weight_HG,) = prepared
        return (self._f(add_product(g_BG, h_BH, weight_HG)).to(h_BH.dtype),)

    def _f(self, z_BH: Tensor) -> Tensor:
        match self.activation:
            case "tanh":
                return z_BH.tanh()
            case "relu":
                return z_BH.relu()
            case "sigmoid":
                return z_BH.sigmoid()
            case _:
                assert_never(self.activation)
