"""The recurrent weighted average as one function with a hand-derived backward.

Shapes: B batch, T time, I input, G gates (3 H: u, g, a), H hidden. S: the dtype of the products and of all that has T.
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
    add_product,
    blank_,
    keep_finished,
    learns,
    no_autocast,
    product_dtype,
    product_with_previous,
    upstream,
)
from s2s.kernels.protocol import State


class Forward(Protocol):
    """(h_BTH, delta_BTH, final (h, v, l)). In place the gates' part g becomes tanh(g_t), their part a the share w_t;
    delta_t = z_t - v_{t-1}. weight_hh is [U_g; U_a]. save=False: no delta, and the gates may be left in any state.
    """

    def __call__(
        self, gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
    ) -> tuple[Tensor, Tensor | None, State]: ...


class Backward(Protocol):
    """(gates, delta, h as forward left them, weight_hh, lengths, dh, dfinal) -> (dgates_BTG, dstate, dbias_G)."""

    def __call__(
        self,
        gates_BTG: Tensor,
        delta_BTH: Tensor,
        h_BTH: Tensor,
        weight_hh: Tensor,
        lengths_B: Tensor | None,
        dh_BTH: Tensor | None,
        dfinal: State,
        /,
    ) -> tuple[Tensor, State, Tensor]: ...


class Loops(NamedTuple):
    """Both loops over time, and the product before them."""

    forward: Forward
    backward: Backward
    input: Input = INPUT


def _forward(
    gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
) -> tuple[Tensor, Tensor | None, State]:
    batch, time, hidden = *gates_BTG.shape[:2], weight_hh.shape[1]
    h_BTH = gates_BTG.new_empty(batch, time, hidden)
    delta_BTH = torch.empty_like(h_BTH) if save else None
    u_BTH, g_BTH, w_BTH = gates_BTG.chunk(3, 2)
    for t, active_B1 in enumerate(active_rows(lengths_B, time)):
        h_BH, v_BH, l_BH = state
        g_BH, a_BH = add_product(gates_BTG[:, t, hidden:], h_BH, weight_hh).chunk(2, 1)
        g_BH.tanh_()
        # l_0 = -inf is safe: the first share is sigmoid(+inf) = 1.
        w_BH = (a_BH - l_BH).sigmoid_()
        delta_BH = (u_BTH[:, t] * g_BH).sub_(v_BH)
        v_1BH = torch.addcmul(v_BH, w_BH, delta_BH)
        h_BTH[:, t] = h_1BH = v_1BH.tanh()
        state = keep_finished(active_B1, (h_1BH, v_1BH, torch.logaddexp(l_BH, a_BH)), state)
        if delta_BTH is not None:
            g_BTH[:, t], w_BTH[:, t], delta_BTH[:, t] = g_BH, w_BH, delta_BH
    blank_(lengths_B, h_BTH)
    return h_BTH, delta_BTH, state


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
    hidden, dtype = weight_hh.shape[1], dfinal[0].dtype
    dgates_BTG = torch.empty_like(gates_BTG)
    dstate = dfinal
    active = active_rows(lengths_B, gates_BTG.shape[1])
    for t in reversed(range(len(active))):
        u_BH, g_BH, w_BH = gates_BTG[:, t].to(dtype).chunk(3, 1)
        h_BH, delta_BH = h_BTH[:, t].to(dtype), delta_BTH[:, t]
        dh_BH, dv_BH, dl_BH = dstate
        if dh_BTH is not None:
            dh_BH = dh_BH + dh_BTH[:, t]
        dv_BH = dv_BH + dh_BH * (1 - h_BH * h_BH)
        dz_BH = dv_BH * w_BH
        dg_BH = dz_BH * u_BH * (1 - g_BH * g_BH)
        da_BH = dz_BH * delta_BH * (1 - w_BH) + dl_BH * w_BH
        torch.cat([dz_BH * g_BH, dg_BH, da_BH], 1, out=dgates_BTG[:, t])
        dh_BH = torch.mm(dgates_BTG[:, t, hidden:], weight_hh).to(dtype)
        dstate = keep_finished(active[t], (dh_BH, dv_BH - dz_BH, dl_BH - da_BH), dstate)
    blank_(lengths_B, dgates_BTG)
    return dgates_BTG, dstate, dgates_BTG.sum((0, 1), dtype=dtype)


PLAIN = Loops(_forward, _backward)


class _RWA(torch.autograd.Function):
    """What surrounds the loops: products over all steps, and what is saved. x and both weights come in S."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        h_BH: Tensor,
        v_BH: Tensor,
        l_BH: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_G: Tensor,
        lengths_B: Tensor | None,
        save: bool,
        loops: Loops,
    ) -> tuple[Tensor, ...]:
        gates_BTG = loops.input.project(x_BTI, weight_ih, bias_G)
        h_BTH, delta_BTH, final = loops.forward(gates_BTG, (h_BH, v_BH, l_BH), weight_hh, lengths_B, save=save)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_BTI, h_BH, weight_ih, weight_hh, lengths_B, gates_BTG, delta_BTH, h_BTH)
        ctx.loops = loops
        return h_BTH, *final

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_BTH: Tensor | None, *dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, first_BH, weight_ih, weight_hh, lengths_B, gates_BTG, delta_BTH, h_BTH = ctx.saved_tensors
        with no_autocast(x_BTI):
            dgates_BTG, dstate, dbias_G = ctx.loops.backward(
                gates_BTG,
                delta_BTH,
                h_BTH,
                weight_hh,
                lengths_B,
                *upstream(dh_BTH, dfinal, first_BH),
            )
            dx_BTI, dweight_ih = ctx.loops.input.backward(dgates_BTG, x_BTI, weight_ih, needs_x=ctx.needs_input_grad[0])
            dweight_hh = product_with_previous(dgates_BTG[:, :, weight_hh.shape[1] :], h_BTH, first_BH)
        return dx_BTI, *dstate, dweight_ih, dweight_hh, dbias_G, None, None, None


def scan(
    x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool, loops: Loops = PLAIN
) -> tuple[Tensor, State]:
    """u_t = W_u x_t + b_u;  g_t = W_g [x_t; h_{t-1}] + b_g;  a_t = W_a [x_t; h_{t-1}];  z_t = u_t * tanh(g_t);
    w_t = sigmoid(a_t - l_{t-1});  v_t = v_{t-1} + w_t (z_t - v_{t-1});  l_t = logaddexp(l_{t-1}, a_t);  h_t = tanh(v_t)

    (Ostmeyer and Cowell 2017, arXiv 1703.01253, in the form of `s2s.cores.rwa`), as `s2s.kernels.protocol.Run`.

    Args:
        x_BTI: (B, T, I).
        state: (h, v, l), (B, H) each; l may be -inf.
        weights: (weight_ih (3 H, I), weight_hh (2 H, H), bias (2 H)).
        lengths_B: steps of each row, None for T.
        every: unused, every step is kept.
        loops: the engine.

    Returns:
        h_BTH in the dtype of the products, zero at padding, and the final (h, v, l).
    """
    del every
    weight_ih, weight_hh, bias_F = weights
    dtype = product_dtype(weight_ih)
    with no_autocast(x_BTI):
        h_BTH, *final = _RWA.apply(  # type: ignore[no-untyped-call]
            x_BTI.to(dtype).contiguous(),
            *(part.contiguous() for part in state),
            weight_ih.to(dtype),
            weight_hh.to(dtype).contiguous(),
            F.pad(bias_F, (0, weight_hh.shape[1])),
            lengths_B,
            learns(x_BTI, *state, *weights),
            loops,
        )
    return h_BTH, tuple(final)
