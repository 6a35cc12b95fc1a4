"""The loops of `s2s.kernels.fused.gru` in C++.

Shapes: B batch, T time, G gates (3 H), H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import gru
from s2s.kernels.protocol import State


def _forward(
    gates_BTG: Tensor, state: State, weight_hh: Tensor, bias_n_H: Tensor, lengths_B: Tensor | None, /, *, save: bool
) -> tuple[Tensor, Tensor | None, State]:
    h_BTH = gates_BTG.new_empty(*gates_BTG.shape[:2], weight_hh.shape[1])
    un_BTH = torch.empty_like(h_BTH) if save else None
    final = (torch.empty_like(state[0]),)
    tensors = (gates_BTG, weight_hh, bias_n_H.contiguous(), h_BTH, un_BTH, *state, *final)
    call("gru", "gru_forward", tuple(h_BTH.shape), lengths_B, *tensors)
    return h_BTH, un_BTH, final


def _backward(
    gates_BTG: Tensor,
    un_BTH: Tensor,
    h_BTH: Tensor,
    state: State,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    /,
) -> tuple[Tensor, Tensor, State, Tensor, Tensor]:
    gates, hidden = weight_hh.shape
    dgates_BTG, dun_BTH = torch.empty_like(gates_BTG), torch.empty_like(un_BTH)
    dstate, sums = (torch.empty_like(dfinal[0]),), dfinal[0].new_empty(gates + hidden)
    given = (gates_BTG, un_BTH, h_BTH, *state, weight_hh, dh_BTH, *dfinal)
    call("gru", "gru_backward", tuple(h_BTH.shape), lengths_B, *given, dgates_BTG, dun_BTH, *dstate, sums)
    dbias_G, dbias_n_H = sums.split_with_sizes([gates, hidden])
    return dgates_BTG, dun_BTH, dstate, dbias_G, dbias_n_H


LOOPS = gru.Loops(_forward, _backward, INPUT)
