# mypy: allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
"""The moving averages of the statistical unit in Triton: bound by memory, one launch over all steps.

Shapes: B batch, T time, A decays, P size of a step, D decays as a power of two, N columns of a block.
S: the dtype of all that has T.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

from s2s.kernels.fused import averages

COLUMNS = 64
STAGES = 8
"""Columns of a program (of A decays each), and steps whose loads are under way; unmeasured."""


@triton.jit
def forward_kernel(
    phi,
    first,
    alpha,
    mu_out,
    T,
    BACK: constexpr,
    A: constexpr,
    P: constexpr,
    D: constexpr,
    N: constexpr,
    STAGES: constexpr,
):
    """mu_t = alpha mu_{t-1} + (1 - alpha) phi_t for one row of the batch and N columns; BACK: from the end."""
    row = tl.program_id(0).to(tl.int64)
    d_D, p_N = tl.arange(0, D), tl.program_id(1) * N + tl.arange(0, N)
    valid_DN = (d_D < A)[:, None] & (p_N < P)[None, :]
    at_DN = d_D[:, None] * P + p_N[None, :]
    alpha_D1 = tl.load(alpha + d_D, mask=d_D < A, other=0.0)[:, None]
    mu_DN = tl.load(first + row * (A * P) + at_DN, mask=valid_DN, other=0.0)
    for t in tl.range(0, T, num_stages=STAGES):
        step = row * T + (T - 1 - t if BACK else t)
        phi_N = tl.load(phi + step * P + p_N, mask=p_N < P, other=0.0).to(mu_DN.dtype)
        mu_DN = alpha_D1 * mu_DN + (1 - alpha_D1) * phi_N[None, :]
        tl.store(mu_out + step * (A * P) + at_DN, mu_DN.to(mu_out.dtype.element_ty), mask=valid_DN)


@triton.jit
def backward_kernel(
    dmu, alpha, dphi_out, dfirst, T, A: constexpr, P: constexpr, D: constexpr, N: constexpr, STAGES: constexpr
):
    """d_t = dmu_t + alpha d_{t+1}; dphi_t = sum over alpha of (1 - alpha) d_t; the gradient of mu_0 is alpha d_1."""
    row = tl.program_id(0).to(tl.int64)
    d_D, p_N = tl.arange(0, D), tl.program_id(1) * N + tl.arange(0, N)
    valid_DN = (d_D < A)[:, None] & (p_N < P)[None, :]
    at_DN = d_D[:, None] * P + p_N[None, :]
    alpha_D1 = tl.load(alpha + d_D, mask=d_D < A, other=0.0)[:, None]
    carry_DN = tl.zeros([D, N], alpha.dtype.element_ty)
    for back in tl.range(0, T, num_stages=STAGES):
        step = row * T + (T - 1 - back)
        dmu_DN = tl.load(dmu + step * (A * P) + at_DN, mask=valid_DN, other=0.0).to(carry_DN.dtype) + carry_DN
        dphi_N = tl.sum((1 - alpha_D1) * dmu_DN, 0)
        tl.store(dphi_out + step * P + p_N, dphi_N.to(dphi_out.dtype.element_ty), mask=p_N < P)
        carry_DN = alpha_D1 * dmu_DN
    tl.store(dfirst + row * (A * P) + at_DN, carry_DN, mask=valid_DN)


def _forward(phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor, /, *, back: bool = False) -> Tensor:
    (batch, time, size), decays = phi_BTP.shape, len(alpha_A)
    mu_BTAP = phi_BTP.new_empty(batch, time, decays, size)
    with torch.cuda.device_of(phi_BTP):  # type: ignore[no-untyped-call]
        forward_kernel[_grid(batch, size)](
            phi_BTP, mu_BAP.contiguous(), alpha_A, mu_BTAP, time, BACK=back, A=decays, P=size, **_options(decays)
        )
    return mu_BTAP


def _backward(dmu_BTAP: Tensor, alpha_A: Tensor, /) -> tuple[Tensor, Tensor]:
    batch, time, decays, size = dmu_BTAP.shape
    dphi_BTP = dmu_BTAP.new_empty(batch, time, size)
    dfirst_BAP = alpha_A.new_empty(batch, decays, size)
    with torch.cuda.device_of(dmu_BTAP):  # type: ignore[no-untyped-call]
        backward_kernel[_grid(batch, size)](
            dmu_BTAP, alpha_A, dphi_BTP, dfirst_BAP, time, A=decays, P=size, **_options(decays)
        )
    return dphi_BTP, dfirst_BAP


def _grid(batch: int, size: int) -> tuple[int, int]:
    return batch, triton.cdiv(size, COLUMNS)


def _options(decays: int) -> dict[str, int]:
    return {
        "D": triton.next_power_of_2(decays),
        "N": COLUMNS,
        "STAGES": STAGES,
        "num_warps": 1,
        "enable_fp_fusion": True,
    }


FILTER = averages.Filter(_forward, _backward)
