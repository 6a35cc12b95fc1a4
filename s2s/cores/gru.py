"""Gated recurrent unit (Cho et al., EMNLP 2014, arXiv 1406.1078).

Shapes: B batch, T time, I input, G gates (3 H), H hidden.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from s2s.cores.cell import Gated, Prepared, State
from s2s.cores.product import add_product, affine

Reset = Literal["after", "before"]


class GRU(Gated):
    """r, z = sigmoid(W x_t + b + U h_{t-1} + b') (torch's order r, z, n);  h_t = (1 - z) * n + z * h_{t-1}. State (h,).

    `reset="after"` (torch, cuDNN): n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n)).
    `reset="before"` (Cho 2014, the original HRED): n = tanh(W_n x_t + b_n + U_n (r * h_{t-1}) + b'_n).
    """

    def __init__(self, input_size: int, hidden_size: int, *, reset: Reset = "after") -> None:
        super().__init__(input_size, hidden_size, gates=3)
        self.reset: Reset = reset
        self.kernel = "gru" if reset == "after" else "gru with reset before the product"
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        """W x + b; b' joins at the step, since r may scale its last part."""
        return affine(x_BTI, self.weight_ih, self.bias_ih)

    def prepare(self) -> Prepared:
        """(U^T, b'), for reset before the product split into (U_rz^T, b'_rz, U_n^T, b'_n)."""
        if self.reset == "after":
            return self.weight_hh.t(), self.bias_hh
        sizes = [2 * self.hidden_size, self.hidden_size]
        (u_rz, u_n), (b_rz, b_n) = self.weight_hh.split_with_sizes(sizes), self.bias_hh.split_with_sizes(sizes)
        return u_rz.t(), b_rz, u_n.t(), b_n

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The class's equations."""
        (h_BH,) = state
        if self.reset == "after":
            return (self._reset_after(g_BG, h_BH, prepared),)
        return (self._reset_before(g_BG, h_BH, prepared),)

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """The reset gate r and the update gate z, in [0, 1]."""
        width = 2 * self.hidden_size
        weight_HG, bias_G = prepared[0][:, :width], prepared[1][:width]
        r_BH, z_BH = (g_BG[:, :width] + add_product(bias_G, before[0], weight_HG)).sigmoid().chunk(2, 1)
        return {"reset": r_BH, "update": z_BH}

    def _reset_after(self, g_BG: Tensor, h_BH: Tensor, prepared: Prepared) -> Tensor:
        weight_HG, bias_G = prepared
        sizes = [2 * self.hidden_size, self.hidden_size]
        g_rz, g_n = g_BG.split_with_sizes(sizes, 1)
        u_rz, u_n = add_product(bias_G, h_BH, weight_HG).split_with_sizes(sizes, 1)
        r_BH, z_BH = (g_rz + u_rz).sigmoid().chunk(2, 1)
        n_BH = (g_n + r_BH * u_n).tanh()
        return n_BH + z_BH * (h_BH - n_BH)

    def _reset_before(self, g_BG: Tensor, h_BH: Tensor, prepared: Prepared) -> Tensor:
        u_rz, b_rz, u_n, b_n = prepared
        g_rz, g_n = g_BG.split_with_sizes([2 * self.hidden_size, self.hidden_size], 1)
        r_BH, z_BH = (g_rz + add_product(b_rz, h_BH, u_rz)).sigmoid().chunk(2, 1)
        n_BH = (g_n + add_product(b_n, r_BH * h_BH, u_n)).tanh()
        return n_BH + z_BH * (h_BH - n_BH)
