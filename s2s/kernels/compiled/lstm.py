"""The loops of `s2s.kernels.fused.lstm` in C++.

Shapes: B batch, T time, G gates (4 H, or 3 H without forget gate), H hidden, P peepholes (G - H).
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import lstm
from s2s.kernels.protocol import State


def _forward(
    gates_BTG: Tensor,
    state: State,
    weight_hh: Tensor,
    peephole_P: Tensor | None,
    lengths_B: Tensor | None,
    /,
    *,
    save: bool,
) -> tuple[Tensor, Tensor | None, State]:
    h_BTH = gates_BTG.new_empty(*gates_BTG.shape[:2], weight_hh.shape[1])
    c_BTH = torch.empty_like(h_BTH) if save else None
    final = tuple(torch.empty_like(part) for part in state)
    peephole = None if peephole_P is None else peephole_P.contiguous()
    tensors = (gates_BTG, weight_hh, peephole, h_BTH, c_BTH, *state, *final)
    call("lstm", "lstm_forward", _sizes(h_BTH, weight_hh), lengths_B, *tensors)
    return h_BTH, c_BTH, final


def _backward(
    gates_BTG: Tensor,
    c_BTH: Tensor,
    state: State,
    weight_hh: Tensor,
    peephole_P: Tensor | None,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    /,
) -> tuple[Tensor, State, Tensor, Tensor | None]:
    gates, hidden = weight_hh.shape
    dgates_BTG = torch.empty_like(gates_BTG)
    dstate = tuple(torch.empty_like(part) for part in dfinal)
    sums = dfinal[0].new_empty(2 * gates - hidden)
    peephole = None if peephole_P is None else peephole_P.contiguous()
    given = (gates_BTG, c_BTH, state[1], weight_hh, peephole, dh_BTH, *dfinal)
    call("lstm", "lstm_backward", _sizes(c_BTH, weight_hh), lengths_B, *given, dgates_BTG, *dstate, sums)
    dbias_G, dpeephole_P = sums.split_with_sizes([gates, gates - hidden])
    return dgates_BTG, dstate, dbias_G, None if peephole_P is None else dpeephole_P


def _sizes(kept_BTH: Tensor, weight_hh: Tensor) -> tuple[int, ...]:
    """B, T, H and how many gates."""
    return *kept_BTH.shape, len(weight_hh) // kept_BTH.shape[2]


LOOPS = lstm.Loops(_forward, _backward, INPUT)
