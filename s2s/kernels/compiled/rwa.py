"""The loops of `s2s.kernels.fused.rwa` in C++.

Shapes: B batch, T time, G gates (3 H), H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import rwa
from s2s.kernels.protocol import State


def _forward(
    gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
) -> tuple[Tensor, Tensor | None, State]:
    sizes = (*gates_BTG.shape[:2], weight_hh.shape[1])
    h_BTH = gates_BTG.new_empty(sizes)
    delta_BTH = torch.empty_like(h_BTH) if save else None
    final = tuple(torch.empty_like(part) for part in state)
    call("rwa", "rwa_forward", sizes, lengths_B, gates_BTG, weight_hh, h_BTH, delta_BTH, *state, *final)
    return h_BTH, delta_BTH, final


def _backward(
    gates_BTG: Tensor,
    delta_BTH: Tensor,
    h_BTH: Tensor,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    /,
) -> tuple[Tensor, State, Tensor]:
    dgates_BTG = torch.empty_like(gates_BTG)
    dstate = tuple(torch.empty_like(part) for part in dfinal)
    dbias_G = dfinal[0].new_empty(gates_BTG.shape[2])
    saved = (gates_BTG, delta_BTH, h_BTH, weight_hh, dh_BTH)
    call("rwa", "rwa_backward", tuple(h_BTH.shape), lengths_B, *saved, *dfinal, dgates_BTG, *dstate, dbias_G)
    return dgates_BTG, dstate, dbias_G


LOOPS = rwa.Loops(_forward, _backward, INPUT)
