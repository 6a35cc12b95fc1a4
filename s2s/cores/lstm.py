"""Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000).

Shapes: B batch, T time, I input, G gates (4 H, or 3 H without forget gate), H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s.cores.cell import Gated, Prepared, State
from s2s.cores.product import add_product, affine
from s2s.errors import UserError


class LSTM(Gated):
    """i, f, g, o = W x_t + b + U h_{t-1} + b' (torch's order); i, f, o through the sigmoid, g through tanh;
    c_t = f * c_{t-1} + i * g;  h_t = o * tanh(c_t). State (h, c).

    `forget_bias`: the start of the forget gate's bias (both biases together); 1 suits long sequences (Gers 2000;
    Jozefowicz, Zaremba and Sutskever 2015). None leaves torch's start.
    `peephole`: i and f also see p_i * c_{t-1} and p_f * c_{t-1}, o sees p_o * c_t, all diagonal (Gers and Schmidhuber
    2000).
    `forget_gate=False`: f = 1, the constant error carousel of the first form; the gates are then i, g, o.

    Raises UserError for a forget bias without a forget gate.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float | None = None,
        peephole: bool = False,
        forget_gate: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, gates=4 if forget_gate else 3, seeds=2)
        self.forget_gate = forget_gate
        self.forget_bias = forget_bias
        self._check_forget_bias(forget_bias)
        self.peephole = nn.Parameter(torch.empty(self.gate_size - hidden_size)) if peephole else None
        self.kernel = "lstm" + " with peepholes" * peephole + " without forget gate" * (not forget_gate)
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        """W x + b + b'."""
        return affine(x_BTI, self.weight_ih, self.bias_ih + self.bias_hh)

    def prepare(self) -> Prepared:
        """(U^T,) or (U^T, p)."""
        weight_HG = self.weight_hh.t()
        return (weight_HG,) if self.peephole is None else (weight_HG, self.peephole)

    def layer_weights(self) -> Prepared:
        """(weight_ih, weight_hh, bias_ih, bias_hh), and the peepholes where there are any."""
        return super().layer_weights() + (() if self.peephole is None else (self.peephole,))

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The class's equations."""
        h_BH, c_BH = state
        weight_HG, *peephole = prepared
        gates = add_product(g_BG, h_BH, weight_HG).chunk(self.gate_size // self.hidden_size, 1)
        if peephole:
            return self._with_peepholes(gates, c_BH, *peephole)
        i_BH, *f_BH, g_BH, o_BH = gates
        kept_BH = f_BH[0].sigmoid() * c_BH if f_BH else c_BH
        c_BH = kept_BH + i_BH.sigmoid() * g_BH.tanh()
        return o_BH.sigmoid() * c_BH.tanh(), c_BH

    def _with_peepholes(self, gates: tuple[Tensor, ...], c_BH: Tensor, peephole: Tensor) -> State:
        i_BH, *f_BH, g_BH, o_BH = gates
        p_i, *p_f, p_o = peephole.chunk(len(gates) - 1)
        kept_BH = (f_BH[0] + p_f[0] * c_BH).sigmoid() * c_BH if f_BH else c_BH
        c_BH = kept_BH + (i_BH + p_i * c_BH).sigmoid() * g_BH.tanh()
        return (o_BH + p_o * c_BH).sigmoid() * c_BH.tanh(), c_BH

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:
        """The input, forget and output gates, in [0, 1]."""
        weight_HG, *peephole = prepared
        gates_BG = add_product(g_BG, before[0], weight_HG)
        names = ["input", "forget", "output"] if self.forget_gate else ["input", "output"]
        parts = list(gates_BG.chunk(len(names) + 1, 1))
        del parts[-2]  # the candidate
        seen = [before[1]] * (len(names) - 1) + [after[1]]
        if not peephole:
            return {name: part.sigmoid() for name, part in zip(names, parts, strict=True)}
        ways = peephole[0].chunk(len(names))
        return {name: (g + p * c).sigmoid() for name, g, p, c in zip(names, parts, ways, seen, strict=True)}

    def reset_parameters(self) -> None:
        """torch's start, U(-1/sqrt(H), 1/sqrt(H)), then the forget bias if there is one."""
        super().reset_parameters()
        self._fill_forget_bias()

    def reset_vectors(self) -> None:
        """Biases and peepholes at zero, then the forget bias if there is one."""
        super().reset_vectors()
        self._fill_forget_bias()

    def set_forget_bias(self, value: float) -> None:
        """Start the forget gate at `value` (both biases together), now and at every later reset."""
        self._check_forget_bias(value)
        self.forget_bias = value
        self._fill_forget_bias()

    def _check_forget_bias(self, value: float | None) -> None:
        if value is not None and not self.forget_gate:
            raise UserError(
                f"The LSTM has a forget bias of {value} but no forget gate. "
                "Leave out forget_bias, or use forget_gate = true."
            )

    def _fill_forget_bias(self) -> None:
        if self.forget_bias is None:
            return
        rows = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.bias_ih[rows] = self.forget_bias
            self.bias_hh[rows] = 0.0
