"""Recurrent weighted average (Ostmeyer and Cowell 2017, arXiv 1703.01253).

Shapes: B batch, T time, I input, G gates (3 H: u, g, a), H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s.cores.cell import Block, Cell, Prepared, State, gate_blocks
from s2s.cores.product import add_product, affine


class RWA(Cell):
    """u_t = W_u x_t + b_u;  g_t = W_g [x_t; h_{t-1}] + b_g;  a_t = W_a [x_t; h_{t-1}];  z_t = u_t * tanh(g_t);
    h_t = tanh(sum_{i<=t} z_i e^{a_i} / sum_{i<=t} e^{a_i});  h_0 = tanh(s), s learned. State (h, v, l).

    a has no bias: it would cancel. The step keeps the average itself, v_t, and l_t, the logarithm of the sum of
    weights, so nothing overflows and no running maximum is needed:

        w_t = sigmoid(a_t - l_{t-1})     the share of step t in the average
        v_t = v_{t-1} + w_t (z_t - v_{t-1});  l_t = logaddexp(l_{t-1}, a_t);  h_t = tanh(v_t);  v_0 = 0, l_0 = -inf

    Seeded as a decoder, only h_0 is replaced. Start: Glorot uniform for W_u, W_g and W_a, zero biases, s ~ N(0, 1).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(
            input_size,
            hidden_size,
            output_size=hidden_size,
            gate_size=3 * hidden_size,
            seed_sizes=(hidden_size,),
        )
        self.kernel = "rwa"
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))
        self.start = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        """[W_u x + b_u; W_gx x + b_g; W_ax x]."""
        return affine(x_BTI, self.weight_ih, F.pad(self.bias, (0, self.hidden_size)))

    def begin(self, batch: int, seed: State | None = None) -> State:
        """(tanh(s) or the seed, 0, -inf)."""
        if seed is None:
            h_BH = self.start.tanh().expand(batch, -1)
        else:
            (h_BH,) = self.checked_seed(batch, seed)
        v_BH = self.start.new_zeros(batch, self.hidden_size)
        return h_BH, v_BH, torch.full_like(v_BH, -torch.inf)

    def prepare(self) -> Prepared:
        """([U_g; U_a]^T,)."""
        return (self.weight_hh.t(),)

    def layer_weights(self) -> Prepared:
        """(weight_ih, weight_hh, bias)."""
        return self.weight_ih, self.weight_hh, self.bias

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The share form of the class's docstring. v and l keep the dtype of the state also under autocast."""
        h_BH, v_BH, l_BH = state
        (weight_HG,) = prepared
        u_BH, rest_BG = g_BG.split_with_sizes([self.hidden_size, 2 * self.hidden_size], 1)
        g_BH, a_BH = add_product(rest_BG, h_BH, weight_HG).to(l_BH.dtype).chunk(2, 1)
        z_BH = u_BH * g_BH.tanh()
        # l_0 = -inf is safe: the first share is sigmoid(+inf) = 1 with a zero gradient, and l_0 itself is a constant.
        w_BH = (a_BH - l_BH).sigmoid()
        v_BH = v_BH + w_BH * (z_BH - v_BH)
        return v_BH.tanh(), v_BH, torch.logaddexp(l_BH, a_BH)

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """The share w_t of this step in the average, in [0, 1]."""
        h_BH, _, l_BH = before
        (weight_HG,) = prepared
        a_BH = add_product(g_BG[:, 2 * self.hidden_size :], h_BH, weight_HG[:, self.hidden_size :])
        return {"share": (a_BH - l_BH).sigmoid()}

    def reset_parameters(self) -> None:
        """Glorot uniform, where g and a each read one matrix over [x; h]; then the vectors."""
        fans = (self.input_size, self.input_size + self.hidden_size, self.input_size + self.hidden_size)
        for weight, fan_in in zip(self.weight_ih.detach().chunk(3), fans, strict=True):
            _glorot_(weight, fan_in)
        for weight in self.weight_hh.detach().chunk(2):
            _glorot_(weight, self.input_size + self.hidden_size)
        self.reset_vectors()

    def reset_vectors(self) -> None:
        """Biases zero, s ~ N(0, 1)."""
        nn.init.zeros_(self.bias)
        nn.init.normal_(self.start)

    def blocks(self) -> Iterator[Block]:
        """W_u, W_gx, W_ax, U_g, U_a."""
        return gate_blocks(self.weight_ih, self.weight_hh, self.hidden_size)


def _glorot_(weight_RI: Tensor, fan_in: int) -> None:
    bound = (6.0 / (fan_in + weight_RI.shape[0])) ** 0.5
    nn.init.uniform_(weight_RI, -bound, bound)
