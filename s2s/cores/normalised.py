"""LSTM and GRU with layer normalisation (Ba, Kiros and Hinton 2016, arXiv 1607.06450, appendix).

LN(a) = gain * (a - mean(a)) / sqrt(var(a) + 1e-5) over the units of one step of one row; its shift is the gate's bias.

Shapes: B batch, T time, I input, G gates, H hidden.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s.cores.cell import Prepared, State
from s2s.cores.gru import GRU, Reset
from s2s.cores.lstm import LSTM
from s2s.cores.product import affine

GAINS = ("gain_ih", "gain_hh", "gain_cell")
"""The vectors that start at one."""


class NormalisedLSTM(LSTM):
    """i, f, g, o = LN(W x_t) + b + LN(U h_{t-1}) + b', each LN over all four gates together;
    c_t = f * c_{t-1} + i * g;  h_t = o * tanh(LN(c_t) + b_c). State (h, c), c as it is before its LN.
    """

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float | None = None) -> None:
        super().__init__(input_size, hidden_size, forget_bias=forget_bias)
        self.kernel = "lstm with layer normalisation"
        self.gain_ih = nn.Parameter(torch.ones(self.gate_size))
        self.gain_hh = nn.Parameter(torch.ones(self.gate_size))
        self.gain_cell = nn.Parameter(torch.ones(hidden_size))
        self.bias_cell = nn.Parameter(torch.zeros(hidden_size))

    def project(self, x_BTI: Tensor) -> Tensor:
        """LN(W x) + b."""
        return _norm(affine(x_BTI, self.weight_ih), self.gain_ih, self.bias_ih)

    def prepare(self) -> Prepared:
        """(U, gain, b', gain of c, b_c)."""
        return self.weight_hh, self.gain_hh, self.bias_hh, self.gain_cell, self.bias_cell

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The class's equations."""
        h_BH, c_BH = state
        weight_GH, gain_G, bias_G, gain_H, bias_H = prepared
        gates_BG = g_BG + _norm(affine(h_BH, weight_GH), gain_G, bias_G)
        i_BH, f_BH, new_BH, o_BH = gates_BG.chunk(4, 1)
        c_BH = (f_BH.sigmoid() * c_BH + i_BH.sigmoid() * new_BH.tanh()).to(c_BH.dtype)
        return (o_BH.sigmoid() * _norm(c_BH, gain_H, bias_H).tanh()).to(h_BH.dtype), c_BH

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """The input, forget and output gates, in [0, 1]."""
        weight_GH, gain_G, bias_G, *_ = prepared
        i_BH, f_BH, _, o_BH = (g_BG + _norm(affine(before[0], weight_GH), gain_G, bias_G)).sigmoid().chunk(4, 1)
        return {"input": i_BH, "forget": f_BH, "output": o_BH}

    def reset_parameters(self) -> None:
        """The LSTM's start; gains one, b_c zero."""
        super().reset_parameters()
        _reset_norms(self)

    def reset_vectors(self) -> None:
        """The LSTM's start; gains one, b_c zero."""
        super().reset_vectors()
        _reset_norms(self)


class NormalisedGRU(GRU):
    """r, z = sigmoid(LN(W x_t) + b + LN(U h_{t-1}) + b'), each LN over both gates together;
    h_t = (1 - z) * n + z * h_{t-1}. State (h,).

    `reset="after"`: n = tanh(LN(W_n x_t) + b_n + r * (LN(U_n h_{t-1}) + b'_n)).
    `reset="before"`: n = tanh(LN(W_n x_t) + b_n + LN(U_n (r * h_{t-1})) + b'_n).
    """

    def __init__(self, input_size: int, hidden_size: int, *, reset: Reset = "after") -> None:
        super().__init__(input_size, hidden_size, reset=reset)
        self.kernel = "gru with layer normalisation"
        self.gain_ih = nn.Parameter(torch.ones(self.gate_size))
        self.gain_hh = nn.Parameter(torch.ones(self.gate_size))

    def project(self, x_BTI: Tensor) -> Tensor:
        """[LN(W_rz x) + b_rz; LN(W_n x) + b_n]."""
        parts = zip(*map(self._parts, (self.weight_ih, self.gain_ih, self.bias_ih)), strict=True)
        return torch.cat([_norm(affine(x_BTI, weight), gain, bias) for weight, gain, bias in parts], -1)

    def prepare(self) -> Prepared:
        """(U_rz, U_n, gain_rz, gain_n, b'_rz, b'_n)."""
        return *self._parts(self.weight_hh), *self._parts(self.gain_hh), *self._parts(self.bias_hh)

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The class's equations."""
        (h_BH,) = state
        u_rz, u_n, gain_rz, gain_n, b_rz, b_n = prepared
        g_rz, g_n = g_BG.split_with_sizes([2 * self.hidden_size, self.hidden_size], 1)
        r_BH, z_BH = (g_rz + _norm(affine(h_BH, u_rz), gain_rz, b_rz)).sigmoid().chunk(2, 1)
        if self.reset == "after":
            n_BH = (g_n + r_BH * _norm(affine(h_BH, u_n), gain_n, b_n)).tanh()
        else:
            n_BH = (g_n + _norm(affine(r_BH * h_BH, u_n), gain_n, b_n)).tanh()
        return ((n_BH + z_BH * (h_BH - n_BH)).to(h_BH.dtype),)

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """The reset gate r and the update gate z, in [0, 1]."""
        u_rz, _, gain_rz, _, b_rz, _ = prepared
        normed = _norm(affine(before[0], u_rz), gain_rz, b_rz)
        r_BH, z_BH = (g_BG[:, : 2 * self.hidden_size] + normed).sigmoid().chunk(2, 1)
        return {"reset": r_BH, "update": z_BH}

    def reset_parameters(self) -> None:
        """The GRU's start; gains one."""
        super().reset_parameters()
        _reset_norms(self)

    def reset_vectors(self) -> None:
        """The GRU's start; gains one."""
        super().reset_vectors()
        _reset_norms(self)

    def _parts(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of r and z, and those of n."""
        rz, n = tensor.split_with_sizes([2 * self.hidden_size, self.hidden_size])
        return rz, n


def _norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, gain.shape, gain, shift)


def _reset_norms(cell: nn.Module) -> None:
    """Gains one, the shift of the cell zero. (The base class resets once before they exist.)"""
    for name, parameter in cell.named_parameters():
        if name in GAINS:
            nn.init.ones_(parameter)
        elif name == "bias_cell":
            nn.init.zeros_(parameter)
