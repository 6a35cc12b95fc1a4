# mypy: allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
"""The statistical recurrent unit in Triton: a step is two products, each with what is done with it.

Shapes: B batch, T time, A decays, P phi size, R recurrent size, LP and LR these padded to whole K, M rows of a
tile, U columns of phi and V of r in a block, D decays as a power of two, K a block of what a product sums over.
S: the dtype of the products and of all that has T.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

from s2s.kernels.fused import statistical
from s2s.kernels.triton import averages
from s2s.kernels.triton.device import BATCH, CLOCK, TIME, address, number, product, relu
from s2s.kernels.triton.launch import Step, padded, run
from s2s.kernels.triton.tiles import Tile, power_of_two, statistical_tile


@triton.jit(do_not_specialize=["offset"])
def forward_kernel(
    table,
    offset,
    PHI: constexpr,
    Q: constexpr,
    A: constexpr,
    P: constexpr,
    R: constexpr,
    LP: constexpr,
    LR: constexpr,
    S: constexpr,
    STATE: constexpr,
    PRECISION: constexpr,
    RAGGED: constexpr,
    M: constexpr,
    U: constexpr,
    V: constexpr,
    D: constexpr,
    K: constexpr,
):
    """Step CLOCK + offset: phi_t from r_t where PHI, then q_t and r_{t+1} from phi_t where Q; all steps where both."""
    gates, lengths = address(table, 0, S), address(table, 1, tl.int64)
    weight_phi, weight_q = address(table, 2, S), address(table, 3, S)
    r_before, phi_before = address(table, 4, S), address(table, 5, S)
    r_out, q_state = address(table, 6, S), address(table, 7, STATE)
    alpha, bias = address(table, 8, STATE), address(table, 9, STATE)
    time, batch = number(table, TIME), number(table, BATCH)
    start = number(table, CLOCK) + offset
    stop = time if PHI and Q else tl.minimum(start + 1, time)

    row_M = tl.program_id(0) * M + tl.arange(0, M)
    first = (tl.program_id(0) * M).to(tl.int64) * time
    p_U = tl.program_id(1) * U + tl.arange(0, U)
    r_V = tl.program_id(1) * V + tl.arange(0, V)
    k_K = tl.arange(0, K)
    steps_M = tl.load(lengths + row_M, mask=row_M < batch, other=0) if RAGGED else tl.zeros([M], tl.int64) + time

    if PHI:
        valid_MU = (row_M < batch)[:, None] & (p_U < P)[None, :]
        gates_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * P + p_U[None, :]
        r_MK = r_before + row_M[:, None] * LR + k_K[None, :]
        weight_KU = weight_phi + p_U[None, :] * LR + k_K[:, None]
        phi_before_MU = phi_before + row_M[:, None] * LP + p_U[None, :]
    if Q:
        valid_MV = (row_M < batch)[:, None] & (r_V < R)[None, :]
        out_MV = tl.arange(0, M)[:, None] * time.to(tl.int32) * R + r_V[None, :]
        r_before_MV = r_before + row_M[:, None] * LR + r_V[None, :]
        phi_MK = phi_before + row_M[:, None] * LP + k_K[None, :]
        # Columns are decay after decay, each with the V of this block.
        d_C, r_C = tl.arange(0, D * V) // V, tl.program_id(1) * V + tl.arange(0, D * V) % V
        valid_C = (d_C < A) & (r_C < R)
        weight_KC = weight_q + (d_C * R + r_C)[None, :] * LP + k_K[:, None]
        d_D = tl.arange(0, D)
        alpha_D1 = tl.load(alpha + d_D, mask=d_D < A, other=0.0)[None, :, None]
        bias_V = tl.load(bias + r_V, mask=r_V < R, other=0.0)
        valid_MDV = (row_M < batch)[:, None, None] & (d_D < A)[None, :, None] & (r_V < R)[None, None, :]
        q_MDV = row_M[:, None, None] * (A * R) + d_D[None, :, None] * R + r_V[None, None, :]

    # One stage: a step must not load before the last one has stored, and compilers differ in whether they see that.
    for t in tl.range(start, stop, num_stages=1):
        if PHI:
            active_MU = valid_MU & (t < steps_M)[:, None]
            phi_at = gates + (first + t) * P
            given_MU = tl.load(phi_at + gates_MU, mask=active_MU, other=0.0).to(STATE)
            phi_MU = product(r_MK, weight_KU, p_U < P, tl.zeros([M, U], STATE), LR, K, PRECISION)
            phi_MU = tl.where(active_MU, relu(phi_MU + given_MU), 0.0).to(S)
            tl.store(phi_at + gates_MU, phi_MU, mask=valid_MU)
            tl.store(phi_before_MU, phi_MU, mask=valid_MU)
        if PHI and Q:
            tl.debug_barrier()
        if Q:
            old_MDV = tl.load(q_state + q_MDV, mask=valid_MDV, other=0.0)
            new_MC = product(phi_MK, weight_KC, valid_C, tl.zeros([M, D * V], STATE), LP, K, PRECISION)
            new_MDV = alpha_D1 * old_MDV + (1 - alpha_D1) * tl.reshape(new_MC, [M, D, V])
            r_MV = relu(tl.sum(new_MDV, 1) + bias_V[None, :]).to(S)
            tl.store(q_state + q_MDV, new_MDV, mask=valid_MDV)
            tl.store(r_before_MV, r_MV, mask=valid_MV)
            if t + 1 < time:
                tl.store(r_out + (first + t + 1) * R + out_MV, r_MV, mask=valid_MV)
        if PHI and Q:
            tl.debug_barrier()


@triton.jit(do_not_specialize=["offset"])
def backward_kernel(
    table,
    offset,
    PHI: constexpr,
    Q: constexpr,
    A: constexpr,
    P: constexpr,
    R: constexpr,
    LP: constexpr,
    LR: constexpr,
    S: constexpr,
    STATE: constexpr,
    PRECISION: constexpr,
    M: constexpr,
    U: constexpr,
    V: constexpr,
    D: constexpr,
    K: constexpr,
):
    """The step CLOCK + offset from the end: dgates_t from dq_t where PHI, then dr_t and dq_{t-1} from it where Q.

    `shared` holds (1 - alpha) dq_t of all decays, (B, A * LR).
    """
    phi_out, r_out, dphi_out = address(table, 0, S), address(table, 1, S), address(table, 2, S)
    weight_phi, weight_q = address(table, 3, S), address(table, 4, S)
    shared, dgates_before = address(table, 5, S), address(table, 6, S)
    dgates_out, dr_out = address(table, 7, S), address(table, 8, S)
    dq_state, alpha = address(table, 9, STATE), address(table, 10, STATE)
    time, batch = number(table, TIME), number(table, BATCH)
    start = number(table, CLOCK) + offset
    stop = time if PHI and Q else tl.minimum(start + 1, time)

    row_M = tl.program_id(0) * M + tl.arange(0, M)
    first = (tl.program_id(0) * M).to(tl.int64) * time
    p_U = tl.program_id(1) * U + tl.arange(0, U)
    r_V = tl.program_id(1) * V + tl.arange(0, V)
    k_K = tl.arange(0, K)

    if PHI:
        valid_MU = (row_M < batch)[:, None] & (p_U < P)[None, :]
        phi_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * P + p_U[None, :]
        shared_MK = shared + row_M[:, None] * (A * LR) + k_K[None, :]
        weight_KU = weight_q + p_U[None, :] * (A * LR) + k_K[:, None]
        before_MU = dgates_before + row_M[:, None] * LP + p_U[None, :]
    if Q:
        valid_MV = (row_M < batch)[:, None] & (r_V < R)[None, :]
        r_MV = tl.arange(0, M)[:, None] * time.to(tl.int32) * R + r_V[None, :]
        dgates_MK = dgates_before + row_M[:, None] * LP + k_K[None, :]
        weight_KV = weight_phi + r_V[None, :] * LP + k_K[:, None]
        d_D = tl.arange(0, D)
        alpha_D1 = tl.load(alpha + d_D, mask=d_D < A, other=0.0)[None, :, None]
        valid_MDV = (row_M < batch)[:, None, None] & (d_D < A)[None, :, None] & (r_V < R)[None, None, :]
        q_MDV = row_M[:, None, None] * (A * R) + d_D[None, :, None] * R + r_V[None, None, :]
        shared_MDV = row_M[:, None, None] * (A * LR) + d_D[None, :, None] * LR + r_V[None, None, :]

    for back in tl.range(start, stop, num_stages=1):
        t = time - 1 - back
        if PHI:
            at = (first + t) * P
            alive_MU = tl.load(phi_out + at + phi_MU, mask=valid_MU, other=0.0) > 0
            given_MU = tl.load(dphi_out + at + phi_MU, mask=alive_MU, other=0.0).to(STATE)
            d_MU = product(shared_MK, weight_KU, p_U < P, tl.zeros([M, U], STATE), A * LR, K, PRECISION)
            d_MU = tl.where(alive_MU, d_MU + given_MU, 0.0).to(S)
            tl.store(dgates_out + at + phi_MU, d_MU, mask=valid_MU)
            tl.store(before_MU, d_MU, mask=valid_MU)
        if PHI and Q:
            tl.debug_barrier()
        if Q:
            alive_MV = tl.load(r_out + (first + t) * R + r_MV, mask=valid_MV, other=0.0) > 0
            dq_MDV = tl.load(dq_state + q_MDV, mask=valid_MDV, other=0.0)
            dr_MV = product(dgates_MK, weight_KV, r_V < R, tl.zeros([M, V], STATE), LP, K, PRECISION)
            dr_MV = tl.where(alive_MV, dr_MV, 0.0)
            dq_MDV = alpha_D1 * dq_MDV + dr_MV[:, None, :]
            tl.store(dr_out + (first + t) * R + r_MV, dr_MV.to(S), mask=valid_MV)
            tl.store(dq_state + q_MDV, dq_MDV, mask=valid_MDV)
            tl.store(shared + shared_MDV, ((1 - alpha_D1) * dq_MDV).to(S), mask=valid_MDV)
        if PHI and Q:
            tl.debug_barrier()


class _Plan(NamedTuple):
    """Sizes and blocks of one call."""

    decays: int
    phi: int
    r: int
    tile: Tile
    block_r: int

    @classmethod
    def of(cls, alpha_A: Tensor, weight_r_phi: Tensor) -> _Plan:
        """From the shapes of (A,) and (P, R)."""
        phi, r = weight_r_phi.shape
        return cls(len(alpha_A), phi, r, *statistical_tile(len(alpha_A), phi, r))

    def steps(self, kernel: Any, batch: int, weight: Tensor, state: Tensor, **flags: bool) -> list[Step]:
        """One launch for the whole scan, or two a step."""
        shared = self.tile.options(weight, state) | flags
        shared |= {"A": self.decays, "P": self.phi, "R": self.r, "U": self.tile.units, "V": self.block_r}
        shared |= {"D": power_of_two(self.decays, least=1)}
        shared |= {"LP": self.tile.padded_depth(self.phi), "LR": self.tile.padded_depth(self.r)}
        if self.tile.whole:
            return [Step.of(kernel, self.tile.grid(batch, self.phi), shared | {"PHI": True, "Q": True})]
        of_r = self.tile._replace(units=self.block_r)
        return [
            Step.of(kernel, self.tile.grid(batch, self.phi), shared | {"PHI": True, "Q": False}),
            Step.of(kernel, of_r.grid(batch, self.r), shared | {"PHI": False, "Q": True}),
        ]


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
    plan, (batch, time), dtype = _Plan.of(alpha_A, weight_r_phi), gates_BTP.shape[:2], weight_q.dtype
    rows, width_p, width_r = (plan.tile.padded_rows(batch), *map(plan.tile.padded_depth, (plan.phi, plan.r)))
    bias_R, q_BAR = bias_R.to(q_BAR.dtype), q_BAR.clone()
    r_BTR = gates_BTP.new_empty(batch, time, plan.r)
    first_BR = q_BAR.sum(1).add_(bias_R).relu_()
    r_BTR[:, 0] = first_BR
    tensors = (
        gates_BTP,
        lengths_B,
        padded(weight_r_phi, dtype, plan.phi, width_r),
        padded(weight_q, dtype, len(weight_q), width_p),
        padded(first_BR, dtype, rows, width_r),
        weight_q.new_zeros(rows, width_p),
        r_BTR,
        q_BAR,
        alpha_A,
        bias_R,
    )
    steps = plan.steps(forward_kernel, batch, weight_q, q_BAR, RAGGED=lengths_B is not None)
    run(steps, tensors, batch, time, whole=plan.tile.whole)
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
    del lengths_B
    plan, (batch, time), dtype = _Plan.of(alpha_A, weight_r_phi), phi_BTP.shape[:2], weight_q.dtype
    rows, width_p, width_r = (plan.tile.padded_rows(batch), *map(plan.tile.padded_depth, (plan.phi, plan.r)))
    dgates_BTP, dr_BTR = torch.empty_like(phi_BTP), torch.empty_like(r_BTR)
    dq_BAR = alpha_A.new_zeros(batch, plan.decays, plan.r)
    weight_PAR = weight_q.view(plan.decays, plan.r, plan.phi).permute(2, 0, 1)
    tensors = (
        phi_BTP,
        r_BTR,
        dphi_BTP,
        padded(weight_r_phi.t(), dtype, plan.r, width_p),
        padded(weight_PAR, dtype, plan.phi, plan.decays, width_r),
        weight_q.new_zeros(rows, plan.decays * width_r),
        weight_q.new_zeros(rows, width_p),
        dgates_BTP,
        dr_BTR,
        dq_BAR,
        alpha_A,
    )
    run(plan.steps(backward_kernel, batch, weight_q, dq_BAR), tensors, batch, time, whole=plan.tile.whole)
    return dgates_BTP, dr_BTR, dq_BAR


LOOPS = statistical.Loops(_forward, _backward, averages.FILTER)
