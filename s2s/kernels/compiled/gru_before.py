"""The loops of `s2s.kernels.fused.gru_before` in C++.

Shapes: B batch, T time, G gates (3 H), H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import gru_before
from s2s.kernels.protocol import State


def _forward(
    gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
) -> tuple[Tensor, Tensor | None, State]:
    h_BTH = gates_BTG.new_empty(*gates_BTG.shape[:2], weight_hh.shape[1])
    rh_BTH = torch.empty_like(h_BTH) if save else None
    final = (torch.empty_like(state[0]),)
    tensors = (gates_BTG, weight_hh, h_BTH, rh_BTH, *state, *final)
    call("gru_before", "gru_before_forward", tuple(h_BTH.shape), lengths_B, *tensors)
    return h_BTH, rh_BTH, final


def _backward(
    gates_BTG: Tensor,
    h_BTH: Tensor,
    state: State,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    /,
) -> tuple[Tensor, State, Tensor]:
    dgates_BTG, dstate = torch.empty_like(gates_BTG), (torch.empty_like(dfinal[0]),)
    dbias_G = dfinal[0].new_empty(len(weight_hh))
    given = (gates_BTG, h_BTH, *state, weight_hh, dh_BTH, *dfinal)
    call("gru_before", "gru_before_backward", tuple(h_BTH.shape), lengths_B, *given, dgates_BTG, *dstate, dbias_G)
    return dgates_BTG, dstate, dbias_G


LOOPS = gru_before.Loops(_forward, _backward, INPUT)
