"""The loops of `s2s.kernels.fused.statistical` and the averages of `s2s.kernels.fused.averages` in C++.

Shapes: B batch, T time, A decays, P statistics of a step, R recurrent ones, Q = A * R.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call
from s2s.kernels.compiled.thin import INPUT
from s2s.kernels.fused import averages, statistical


def _forward(
    gates_BTP: Tensor,
    q_BAR: Tensor,
    alpha_A: Tensor,
    weight_q: Tensor,
    bias_R: Tensor,
    weight_r_phi: Tensor,
    lengths_B: Tensor | None,
    /,
) -> Tensor:
    r_BTR = gates_BTP.new_empty(*gates_BTP.shape[:2], len(bias_R))
    sizes = (*gates_BTP.shape, len(bias_R), len(alpha_A))
    tensors = (gates_BTP, q_BAR, alpha_A, weight_q, bias_R, weight_r_phi, r_BTR)
    call("statistical", "statistical_forward", sizes, lengths_B, *tensors)
    return r_BTR


def _backward(
    phi_BTP: Tensor,
    r_BTR: Tensor,
    alpha_A: Tensor,
    weight_q: Tensor,
    weight_r_phi: Tensor,
    lengths_B: Tensor | None,
    dphi_BTP: Tensor,
    /,
) -> tuple[Tensor, Tensor, Tensor]:
    dgates_BTP, dr_BTR = torch.empty_like(phi_BTP), torch.empty_like(r_BTR)
    sizes = (*phi_BTP.shape, r_BTR.shape[2], len(alpha_A))
    dq_BAR = alpha_A.new_empty(len(phi_BTP), len(alpha_A), r_BTR.shape[2])
    given = (phi_BTP, r_BTR, alpha_A, weight_q, weight_r_phi, dphi_BTP)
    call("statistical", "statistical_backward", sizes, lengths_B, *given, dgates_BTP, dr_BTR, dq_BAR)
    return dgates_BTP, dr_BTR, dq_BAR


def _averages(phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor, /, *, back: bool = False) -> Tensor:
    mu_BTAP = phi_BTP.new_empty(*phi_BTP.shape[:2], *mu_BAP.shape[1:])
    sizes = (*phi_BTP.shape, len(alpha_A), int(back))
    call("statistical", "averages_forward", sizes, None, phi_BTP, mu_BAP, alpha_A, mu_BTAP)
    return mu_BTAP


def _averages_backward(dmu_BTAP: Tensor, alpha_A: Tensor, /) -> tuple[Tensor, Tensor]:
    batch, time, decays, size = dmu_BTAP.shape
    dphi_BTP, dmu_BAP = dmu_BTAP.new_empty(batch, time, size), alpha_A.new_empty(batch, decays, size)
    call("statistical", "averages_backward", (batch, time, size, decays), None, dmu_BTAP, alpha_A, dphi_BTP, dmu_BAP)
    return dphi_BTP, dmu_BAP


LOOPS = statistical.Loops(_forward, _backward, averages.Filter(_averages, _averages_backward), INPUT)
