"""The GRU with the reset after the product (torch, cuDNN) as one function with a hand-derived backward.

Shapes: B batch, T time, I input, G gates (3 H: r, z, n), H hidden. S: the dtype of the products and of all that has T.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s.kernels.fused.products import (
    INPUT,
    Input,
    active_rows,
    blank_,
    keep_finished,
    learns,
    no_autocast,
    product_dtype,
    product_with_previous,
    sigmoid_slope,
    upstream,
)
from s2s.kernels.protocol import State


class Forward(Protocol):
    """(h_BTH, un_BTH, final (h,)), un_t = U_n h_{t-1} + b'_n. In place the gates become what sigmoid and tanh give.

    save=False: no un, and the gates may be left in any state.
    """

    def __call__(
        self,
        gates_BTG: Tensor,
        state: State,
        weight_hh: Tensor,
        bias_n_H: Tensor,
        lengths_B: Tensor | None,
        /,
        *,
        save: bool,
    ) -> tuple[Tensor, Tensor | None, State]: ...


class Backward(Protocol):
    """(gates, un, h as forward left them, (h_0,), weight_hh, lengths, dh, dfinal)
    -> (dgates_BTG, dun_BTH, dstate, dbias_G, dbias_n_H).
    """

    def __call__(
        self,
        gates_BTG: Tensor,
        un_BTH: Tensor,
        h_BTH: Tensor,
        state: State,
        weight_hh: Tensor,
        lengths_B: Tensor | None,
        dh_BTH: Tensor | None,
        dfinal: State,
        /,
    ) -> tuple[Tensor, Tensor, State, Tensor, Tensor]: ...


class Loops(NamedTuple):
    """Both loops over time, and the product before them."""

    forward: Forward
    backward: Backward
    input: Input = INPUT


def _forward(
    gates_BTG: Tensor,
    state: State,
    weight_hh: Tensor,
    bias_n_H: Tensor,
    lengths_B: Tensor | None,
    /,
    *,
    save: bool,
) -> tuple[Tensor, Tensor | None, State]:
    batch, time, hidden = *gates_BTG.shape[:2], weight_hh.shape[1]
    h_BTH = gates_BTG.new_empty(batch, time, hidden)
    un_BTH = torch.empty_like(h_BTH) if save else None
    for t, active_B1 in enumerate(active_rows(lengths_B, time)):
        (h_BH,) = state
        u_BG = torch.mm(h_BH.to(weight_hh.dtype), weight_hh.t()).to(h_BH.dtype)
        un_BH = u_BG[:, 2 * hidden :].add_(bias_n_H)
        rz_BG = u_BG[:, : 2 * hidden].add_(gates_BTG[:, t, : 2 * hidden]).sigmoid_()
        r_BH, z_BH = rz_BG.chunk(2, 1)
        n_BH = torch.addcmul(gates_BTG[:, t, 2 * hidden :].to(h_BH.dtype), r_BH, un_BH).tanh_()
        h_BTH[:, t] = h_1BH = torch.lerp(n_BH, h_BH, z_BH)
        state = keep_finished(active_B1, (h_1BH,), state)
        if un_BTH is not None:
            gates_BTG[:, t, : 2 * hidden], gates_BTG[:, t, 2 * hidden :], un_BTH[:, t] = rz_BG, n_BH, un_BH
    blank_(lengths_B, h_BTH)
    return h_BTH, un_BTH, state


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
    dtype = dfinal[0].dtype
    dgates_BTG, dun_BTH = torch.empty_like(gates_BTG), torch.empty_like(un_BTH)
    dstate = dfinal
    active = active_rows(lengths_B, gates_BTG.shape[1])
    for t in reversed(range(len(active))):
        r_BH, z_BH, n_BH = gates_BTG[:, t].to(dtype).chunk(3, 1)
        before_BH = h_BTH[:, t - 1].to(dtype) if t else state[0]
        (dh_BH,) = dstate
        if dh_BTH is not None:
            dh_BH = dh_BH + dh_BTH[:, t]
        dn_BH = dh_BH * (1 - z_BH) * (1 - n_BH * n_BH)
        dz_BH = dh_BH * (before_BH - n_BH) * sigmoid_slope(z_BH)
        dr_BH = dn_BH * un_BTH[:, t] * sigmoid_slope(r_BH)
        dun_BH = dn_BH * r_BH
        du_BG = torch.cat([dr_BH, dz_BH, dun_BH], 1)
        torch.cat([dr_BH, dz_BH, dn_BH], 1, out=dgates_BTG[:, t])
        dun_BTH[:, t] = dun_BH
        before_dh_BH = torch.addcmul(torch.mm(du_BG.to(weight_hh.dtype), weight_hh).to(dtype), dh_BH, z_BH)
        dstate = keep_finished(active[t], (before_dh_BH,), dstate)
    blank_(lengths_B, dgates_BTG, dun_BTH)
    return dgates_BTG, dun_BTH, dstate, dgates_BTG.sum((0, 1), dtype=dtype), dun_BTH.sum((0, 1), dtype=dtype)


PLAIN = Loops(_forward, _backward)


class _GRU(torch.autograd.Function):
    """What surrounds the loops: products over all steps, and what is saved. x and both weights come in S."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        h_BH: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_G: Tensor,
        bias_n_H: Tensor,
        lengths_B: Tensor | None,
        save: bool,
        loops: Loops,
    ) -> tuple[Tensor, ...]:
        gates_BTG = loops.input.project(x_BTI, weight_ih, bias_G)
        h_BTH, un_BTH, final = loops.forward(gates_BTG, (h_BH,), weight_hh, bias_n_H, lengths_B, save=save)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_BTI, h_BH, weight_ih, weight_hh, lengths_B, gates_BTG, un_BTH, h_BTH)
        ctx.loops = loops
        return h_BTH, *final

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_BTH: Tensor | None, *dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, first_BH, weight_ih, weight_hh, lengths_B, gates_BTG, un_BTH, h_BTH = ctx.saved_tensors
        with no_autocast(x_BTI):
            dgates_BTG, dun_BTH, dstate, dbias_G, dbias_n_H = ctx.loops.backward(
                gates_BTG,
                un_BTH,
                h_BTH,
                (first_BH,),
                weight_hh,
                lengths_B,
                *upstream(dh_BTH, dfinal, first_BH),
            )
            dx_BTI, dweight_ih = ctx.loops.input.backward(dgates_BTG, x_BTI, weight_ih, needs_x=ctx.needs_input_grad[0])
            drz_BTG = dgates_BTG[:, :, : 2 * weight_hh.shape[1]]
            parts = [product_with_previous(part, h_BTH, first_BH) for part in (drz_BTG, dun_BTH)]
        return dx_BTI, *dstate, dweight_ih, torch.cat(parts), dbias_G, dbias_n_H, None, None, None


def scan(
    x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool, loops: Loops = PLAIN
) -> tuple[Tensor, State]:
    """r, z = sigmoid(W x_t + b + U h_{t-1} + b');  n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n));
    h_t = (1 - z) * n + z * h_{t-1}

    (Cho et al. 2014, arXiv 1406.1078, as torch and cuDNN compute it), as `s2s.kernels.protocol.Run`.

    Args:
        x_BTI: (B, T, I).
        state: (h,), (B, H).
        weights: (weight_ih (3 H, I), weight_hh (3 H, H), bias_ih (3 H), bias_hh (3 H)).
        lengths_B: steps of each row, None for T.
        every: unused, every step is kept.
        loops: the engine.

    Returns:
        h_BTH in the dtype of the products, zero at padding, and the final (h,).
    """
    del every
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    dtype = product_dtype(weight_ih)
    hidden = weight_hh.shape[1]
    bias_rz, bias_n_H = bias_hh.split_with_sizes([2 * hidden, hidden])
    with no_autocast(x_BTI):
        h_BTH, *final = _GRU.apply(  # type: ignore[no-untyped-call]
            x_BTI.to(dtype).contiguous(),
            state[0].contiguous(),
            weight_ih.to(dtype),
            weight_hh.to(dtype).contiguous(),
            bias_ih + F.pad(bias_rz, (0, hidden)),
            bias_n_H,
            lengths_B,
            learns(x_BTI, *state, *weights),
            loops,
        )
    return h_BTH, tuple(final)
