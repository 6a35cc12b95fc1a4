"""The loops of `s2s.kernels.fused.elman` in C++.

Shapes: B batch, T time, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import elman
from s2s.kernels.protocol import State

CODES: dict[elman.Activation, int] = {"tanh": 0, "relu": 1, "sigmoid": 2}


def _forward(
    gates_BTH: Tensor,
    state: State,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    activation: elman.Activation,
    /,
) -> State:
    final = (torch.empty_like(state[0]),)
    sizes = (*gates_BTH.shape, CODES[activation])
    call("elman", "elman_forward", sizes, lengths_B, gates_BTH, weight_hh, *state, *final)
    return final


def _backward(
    h_BTH: Tensor,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    activation: elman.Activation,
    /,
) -> tuple[Tensor, State, Tensor]:
    dgates_BTH, dstate = torch.empty_like(h_BTH), (torch.empty_like(dfinal[0]),)
    dbias_H = dfinal[0].new_empty(len(weight_hh))
    sizes = (*h_BTH.shape, CODES[activation])
    call("elman", "elman_backward", sizes, lengths_B, h_BTH, weight_hh, dh_BTH, *dfinal, dgates_BTH, *dstate, dbias_H)
    return dgates_BTH, dstate, dbias_H


LOOPS = elman.Loops(_forward, _backward, INPUT)
