# mypy: allow-untyped-decorators, allow-untyped-defs, allow-incomplete-defs
"""The recurrent weighted average in Triton: a step is one product and what is done with it, in one kernel.

Shapes: B batch, T time, G gates (3 H: u, g, a), H hidden, L = H padded to whole K, M rows of a tile, U units of a
block, K a block of what the product sums over. S: the dtype of the products and of all that has T.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import constexpr

from s2s.kernels.fused import rwa
from s2s.kernels.protocol import State
from s2s.kernels.triton.device import BATCH, CLOCK, TIME, address, multiply_add, number, product, tanh
from s2s.kernels.triton.launch import Step, padded, run
from s2s.kernels.triton.tiles import rwa_tile


@triton.jit(do_not_specialize=["offset"])
def forward_kernel(
    table,
    offset,
    H: constexpr,
    L: constexpr,
    S: constexpr,
    STATE: constexpr,
    PRECISION: constexpr,
    RAGGED: constexpr,
    SAVE: constexpr,
    WHOLE: constexpr,
    M: constexpr,
    U: constexpr,
    K: constexpr,
):
    """Step CLOCK + offset, or all steps if WHOLE, for the M rows and U units of a program."""
    gates, weight, exchange = address(table, 0, S), address(table, 1, S), address(table, 2, S)
    h_out, delta_out, lengths = address(table, 3, S), address(table, 4, S), address(table, 5, tl.int64)
    h_state, v_state, l_state = address(table, 6, STATE), address(table, 7, STATE), address(table, 8, STATE)
    time, batch = number(table, TIME), number(table, BATCH)
    start = number(table, CLOCK) + offset
    stop = time if WHOLE else tl.minimum(start + 1, time)

    row_M = tl.program_id(0) * M + tl.arange(0, M)
    # 64-bit addresses for a tile as a whole, 32-bit ones within it: half the registers.
    first = (tl.program_id(0) * M).to(tl.int64) * time
    unit_U = tl.program_id(1) * U + tl.arange(0, U)
    k_K = tl.arange(0, K)
    valid_MU = (row_M < batch)[:, None] & (unit_U < H)[None, :]
    steps_M = tl.load(lengths + row_M, mask=row_M < batch, other=0) if RAGGED else tl.zeros([M], tl.int64) + time
    out_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * H + unit_U[None, :]
    gates_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * (3 * H) + unit_U[None, :]
    state_MU = row_M[:, None] * H + unit_U[None, :]
    weight_KU = weight + unit_U[None, :] * L + k_K[:, None]
    rows = tl.num_programs(0) * M

    # One stage: a step must not load before the last one has stored, and compilers differ in whether they see that.
    for t in tl.range(start, stop, num_stages=1):
        # What does not wait for the product is asked for before it. At padding all of it is 0, and then so is h.
        active_MU = valid_MU & (t < steps_M)[:, None]
        u_at, out_at = gates + (first + t) * (3 * H), (first + t) * H
        u_MU = tl.load(u_at + gates_MU, mask=active_MU, other=0.0).to(STATE)
        g_in_MU = tl.load(u_at + H + gates_MU, mask=active_MU, other=0.0).to(STATE)
        a_in_MU = tl.load(u_at + 2 * H + gates_MU, mask=active_MU, other=0.0).to(STATE)
        v_MU = tl.load(v_state + state_MU, mask=active_MU, other=0.0)
        l_MU = tl.load(l_state + state_MU, mask=active_MU, other=0.0)

        # h_{t-1} lies in one half of `exchange`, h_t goes to the other: other programs may still be reading.
        before, after = exchange + (t % 2) * rows * L, exchange + ((t + 1) % 2) * rows * L
        h_MK = before + row_M[:, None] * L + k_K[None, :]
        g_MU, a_MU = tl.zeros([M, U], STATE), tl.zeros([M, U], STATE)
        for k in range(0, L, K):
            h = tl.load(tl.multiple_of(h_MK + k, [16, 16]))
            weight_g = tl.load(tl.multiple_of(weight_KU + k, [16, 16]), mask=(unit_U < H)[None, :], other=0.0)
            weight_a = tl.load(tl.multiple_of(weight_KU + H * L + k, [16, 16]), mask=(unit_U < H)[None, :], other=0.0)
            g_MU = multiply_add(h, weight_g, g_MU, PRECISION)
            a_MU = multiply_add(h, weight_a, a_MU, PRECISION)

        g_MU, a_MU = tanh(g_MU + g_in_MU), a_MU + a_in_MU
        # l_0 = -inf is safe: e is 0 then, the first share is 1, and l_1 = a_1.
        e_MU = tl.exp(-tl.abs(a_MU - l_MU))
        w_MU = tl.where(a_MU < l_MU, e_MU, 1.0) / (1 + e_MU)
        delta_MU = u_MU * g_MU - v_MU
        v_MU += w_MU * delta_MU
        l_MU = tl.maximum(l_MU, a_MU) + tl.log(1 + e_MU)
        h_MU = tanh(v_MU)

        tl.store(after + row_M[:, None] * L + unit_U[None, :], h_MU.to(S), mask=valid_MU)
        tl.store(h_out + out_at + out_MU, h_MU.to(S), mask=valid_MU)
        tl.store(h_state + state_MU, h_MU, mask=active_MU)
        tl.store(v_state + state_MU, v_MU, mask=active_MU)
        tl.store(l_state + state_MU, l_MU, mask=active_MU)
        if SAVE:
            tl.store(u_at + H + gates_MU, g_MU.to(S), mask=active_MU)
            tl.store(u_at + 2 * H + gates_MU, w_MU.to(S), mask=active_MU)
            tl.store(delta_out + out_at + out_MU, delta_MU.to(S), mask=active_MU)
        if WHOLE:
            tl.debug_barrier()


@triton.jit(do_not_specialize=["offset"])
def backward_kernel(
    table,
    offset,
    H: constexpr,
    L: constexpr,
    S: constexpr,
    STATE: constexpr,
    PRECISION: constexpr,
    RAGGED: constexpr,
    FLOWS: constexpr,
    WHOLE: constexpr,
    M: constexpr,
    U: constexpr,
    K: constexpr,
):
    """Step CLOCK + offset counted from the end, or all steps if WHOLE; FLOWS: whether there is a dh_BTH.

    The product comes first: dh_t = [dg_{t+1}, da_{t+1}] U. So a step is one kernel here too.
    """
    gates, weight, exchange = address(table, 0, S), address(table, 1, S), address(table, 2, S)
    h_out, delta_out, lengths = address(table, 3, S), address(table, 4, S), address(table, 5, tl.int64)
    dh_final, dv_state, dl_state = address(table, 6, STATE), address(table, 7, STATE), address(table, 8, STATE)
    dgates, dh_out = address(table, 9, S), address(table, 10, S)
    time, batch = number(table, TIME), number(table, BATCH)
    start = number(table, CLOCK) + offset
    stop = time if WHOLE else tl.minimum(start + 1, time)

    row_M = tl.program_id(0) * M + tl.arange(0, M)
    # 64-bit addresses for a tile as a whole, 32-bit ones within it: half the registers.
    first = (tl.program_id(0) * M).to(tl.int64) * time
    unit_U = tl.program_id(1) * U + tl.arange(0, U)
    k_K = tl.arange(0, K)
    valid_MU = (row_M < batch)[:, None] & (unit_U < H)[None, :]
    steps_M = tl.load(lengths + row_M, mask=row_M < batch, other=0) if RAGGED else tl.zeros([M], tl.int64) + time
    out_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * H + unit_U[None, :]
    gates_MU = tl.arange(0, M)[:, None] * time.to(tl.int32) * (3 * H) + unit_U[None, :]
    state_MU = row_M[:, None] * H + unit_U[None, :]
    weight_KU = weight + unit_U[None, :] * (2 * L) + k_K[:, None]
    rows = tl.num_programs(0) * M

    for back in tl.range(start, stop, num_stages=1):
        t = time - 1 - back
        active_MU = valid_MU & (t < steps_M)[:, None]
        last_MU = valid_MU & (t == steps_M - 1)[:, None]
        u_at, out_at = gates + (first + t) * (3 * H), (first + t) * H
        u_MU = tl.load(u_at + gates_MU, mask=active_MU, other=0.0).to(STATE)
        g_MU = tl.load(u_at + H + gates_MU, mask=active_MU, other=0.0).to(STATE)
        w_MU = tl.load(u_at + 2 * H + gates_MU, mask=active_MU, other=0.0).to(STATE)
        h_MU = tl.load(h_out + out_at + out_MU, mask=active_MU, other=0.0).to(STATE)
        delta_MU = tl.load(delta_out + out_at + out_MU, mask=active_MU, other=0.0).to(STATE)
        dh_in_MU = tl.load(dh_final + state_MU, mask=last_MU, other=0.0)
        if FLOWS:
            dh_in_MU += tl.load(dh_out + out_at + out_MU, mask=active_MU, other=0.0).to(STATE)
        dv_MU = tl.load(dv_state + state_MU, mask=active_MU, other=0.0)
        dl_MU = tl.load(dl_state + state_MU, mask=active_MU, other=0.0)

        before, after = exchange + (back % 2) * rows * (2 * L), exchange + ((back + 1) % 2) * rows * (2 * L)
        d_MK = before + row_M[:, None] * (2 * L) + k_K[None, :]
        dh_MU = product(d_MK, weight_KU, unit_U < H, tl.zeros([M, U], STATE), 2 * L, K, PRECISION)

        # At padding all that was loaded is 0, and then so are the gradients.
        dv_MU += (dh_MU + dh_in_MU) * (1 - h_MU * h_MU)
        dz_MU = dv_MU * w_MU
        dg_MU = dz_MU * u_MU * (1 - g_MU * g_MU)
        da_MU = dz_MU * delta_MU * (1 - w_MU) + dl_MU * w_MU
        tl.store(dv_state + state_MU, dv_MU - dz_MU, mask=active_MU)
        tl.store(dl_state + state_MU, dl_MU - da_MU, mask=active_MU)

        du_at = dgates + (first + t) * (3 * H)
        after_MU = after + row_M[:, None] * (2 * L) + unit_U[None, :]
        tl.store(du_at + gates_MU, (dz_MU * g_MU).to(S), mask=valid_MU)
        tl.store(du_at + H + gates_MU, dg_MU.to(S), mask=valid_MU)
        tl.store(du_at + 2 * H + gates_MU, da_MU.to(S), mask=valid_MU)
        tl.store(after_MU, dg_MU.to(S), mask=valid_MU)
        tl.store(after_MU + L, da_MU.to(S), mask=valid_MU)
        if WHOLE:
            tl.debug_barrier()


def _forward(
    gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
) -> tuple[Tensor, Tensor | None, State]:
    (batch, time), hidden, dtype = gates_BTG.shape[:2], weight_hh.shape[1], weight_hh.dtype
    size = rwa_tile(hidden)
    rows, width = size.padded_rows(batch), size.padded_depth(hidden)
    h_BTH = gates_BTG.new_empty(batch, time, hidden)
    delta_BTH = torch.empty_like(h_BTH) if save else None
    final = tuple(part.clone(memory_format=torch.contiguous_format) for part in state)
    weight_2HL = padded(weight_hh.view(2, hidden, hidden), dtype, 2, hidden, width)
    exchange_2BL = padded(state[0].unsqueeze(0), dtype, 2, rows, width)
    options = size.options(weight_hh, final[0]) | {"H": hidden, "L": width, "U": size.units, "WHOLE": size.whole}
    options |= {"RAGGED": lengths_B is not None, "SAVE": save}
    run(
        [Step.of(forward_kernel, size.grid(batch, hidden), options)],
        (gates_BTG, weight_2HL, exchange_2BL, h_BTH, delta_BTH, lengths_B, *final),
        batch,
        time,
        whole=size.whole,
    )
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
    (batch, time, hidden), dtype = h_BTH.shape, weight_hh.dtype
    size = rwa_tile(hidden)
    rows, width = size.padded_rows(batch), size.padded_depth(hidden)
    dh_BH, dv_BH, dl_BH = (part.clone(memory_format=torch.contiguous_format) for part in dfinal)
    dgates_BTG = torch.empty_like(gates_BTG)
    weight_H2L = padded(weight_hh.view(2, hidden, hidden).permute(2, 0, 1), dtype, hidden, 2, width)
    exchange_2B2L = weight_hh.new_zeros(2, rows, 2 * width)
    options = size.options(weight_hh, dh_BH) | {"H": hidden, "L": width, "U": size.units, "WHOLE": size.whole}
    options |= {"RAGGED": lengths_B is not None, "FLOWS": dh_BTH is not None}
    tensors = (gates_BTG, weight_H2L, exchange_2B2L, h_BTH, delta_BTH, lengths_B, dh_BH, dv_BH, dl_BH)
    run(
        [Step.of(backward_kernel, size.grid(batch, hidden), options)],
        (*tensors, dgates_BTG, dh_BTH),
        batch,
        time,
        whole=size.whole,
    )
    d_first_BH = torch.mm(dgates_BTG[:, 0, hidden:], weight_hh).to(dh_BH.dtype)
    if lengths_B is not None:
        d_first_BH = torch.where(lengths_B[:, None] > 0, d_first_BH, dh_BH)
    return dgates_BTG, (d_first_BH, dv_BH, dl_BH), dgates_BTG.sum((0, 1), dtype=dh_BH.dtype)


LOOPS = rwa.Loops(_forward, _backward)
