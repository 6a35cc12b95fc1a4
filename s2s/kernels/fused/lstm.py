"""The LSTM, with or without peepholes and forget gate, as one function with a hand-derived backward.

Shapes: B batch, T time, I input, G gates (i, f, g, o; without forget gate i, g, o), H hidden, P peepholes (G - H).
S: the dtype of the products and of all that has T.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
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
    sigmoid_slope,
    upstream,
)
from s2s.kernels.protocol import State


class Forward(Protocol):
    """(h_BTH, c_BTH, final (h, c)). In place the gates become what their sigmoid or tanh gives.

    peephole_P: p_i, p_f where there is a forget gate, p_o. save=False: no c, and the gates may be left in any state.
    """

    def __call__(
        self,
        gates_BTG: Tensor,
        state: State,
        weight_hh: Tensor,
        peephole_P: Tensor | None,
        lengths_B: Tensor | None,
        /,
        *,
        save: bool,
    ) -> tuple[Tensor, Tensor | None, State]: ...


class Backward(Protocol):
    """(gates, c as forward left them, (h_0, c_0), weight_hh, peephole, lengths, dh, dfinal)
    -> (dgates_BTG, dstate, dbias_G, dpeephole_P or None).
    """

    def __call__(
        self,
        gates_BTG: Tensor,
        c_BTH: Tensor,
        state: State,
        weight_hh: Tensor,
        peephole_P: Tensor | None,
        lengths_B: Tensor | None,
        dh_BTH: Tensor | None,
        dfinal: State,
        /,
    ) -> tuple[Tensor, State, Tensor, Tensor | None]: ...


class Loops(NamedTuple):
    """Both loops over time, and the product before them."""

    forward: Forward
    backward: Backward
    input: Input = INPUT


def _forward(
    gates_BTG: Tensor,
    state: State,
    weight_hh: Tensor,
    peephole_P: Tensor | None,
    lengths_B: Tensor | None,
    /,
    *,
    save: bool,
) -> tuple[Tensor, Tensor | None, State]:
    batch, time, gates = gates_BTG.shape
    hidden = weight_hh.shape[1]
    h_BTH = gates_BTG.new_empty(batch, time, hidden)
    c_BTH = torch.empty_like(h_BTH) if save else None
    p_i, *p_f, p_o = _parts(peephole_P, gates // hidden)
    for t, active_B1 in enumerate(active_rows(lengths_B, time)):
        h_BH, c_BH = state
        pre_BG = add_product(gates_BTG[:, t], h_BH, weight_hh)
        i_BH, *f_BH, g_BH, o_BH = pre_BG.chunk(gates // hidden, 1)
        _see(i_BH, p_i, c_BH).sigmoid_()
        c_1BH = _see(f_BH[0], p_f[0], c_BH).sigmoid_() * c_BH if f_BH else c_BH
        c_1BH = torch.addcmul(c_1BH, i_BH, g_BH.tanh_())
        _see(o_BH, p_o, c_1BH).sigmoid_()
        h_BTH[:, t] = h_1BH = o_BH * c_1BH.tanh()
        state = keep_finished(active_B1, (h_1BH, c_1BH), state)
        if c_BTH is not None:
            gates_BTG[:, t], c_BTH[:, t] = pre_BG, c_1BH
    blank_(lengths_B, h_BTH)
    return h_BTH, c_BTH, state


def _backward(
    gates_BTG: Tensor,
    c_BTH: Tensor,
    state: State,
    weight_hh: Tensor,
    peephole_P: Tensor | None,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    /,
) -> tuple[Tensor, State, Tensor, Tensor | None]:
    count, dtype = gates_BTG.shape[2] // weight_hh.shape[1], dfinal[0].dtype
    dgates_BTG = torch.empty_like(gates_BTG)
    p_i, *p_f, p_o = _parts(peephole_P, count)
    dstate = dfinal
    active = active_rows(lengths_B, gates_BTG.shape[1])
    for t in reversed(range(len(active))):
        i_BH, *f_BH, g_BH, o_BH = gates_BTG[:, t].to(dtype).chunk(count, 1)
        before_BH = c_BTH[:, t - 1].to(dtype) if t else state[1]
        tanh_BH = c_BTH[:, t].to(dtype).tanh()
        dh_BH, dc_BH = dstate
        if dh_BTH is not None:
            dh_BH = dh_BH + dh_BTH[:, t]
        do_BH = dh_BH * tanh_BH * sigmoid_slope(o_BH)
        dc_BH = _see(torch.addcmul(dc_BH, dh_BH * o_BH, 1 - tanh_BH * tanh_BH), p_o, do_BH)
        di_BH = dc_BH * g_BH * sigmoid_slope(i_BH)
        df_BH = [dc_BH * before_BH * sigmoid_slope(f_BH[0])] if f_BH else []
        dg_BH = dc_BH * i_BH * (1 - g_BH * g_BH)
        torch.cat([di_BH, *df_BH, dg_BH, do_BH], 1, out=dgates_BTG[:, t])
        dh_BH = torch.mm(dgates_BTG[:, t], weight_hh).to(dtype)
        dc_BH = _see(_see(dc_BH * f_BH[0], p_f[0], df_BH[0]) if f_BH else dc_BH, p_i, di_BH)
        dstate = keep_finished(active[t], (dh_BH, dc_BH), dstate)
    blank_(lengths_B, dgates_BTG)
    dpeephole_P = None if peephole_P is None else _peephole_gradient(dgates_BTG, c_BTH, state[1])
    return dgates_BTG, dstate, dgates_BTG.sum((0, 1), dtype=dtype), dpeephole_P


def _parts(peephole_P: Tensor | None, gates: int) -> tuple[Tensor, ...] | list[None]:
    """p_i, p_f, p_o or p_i, p_o; None each where there are none."""
    return [None] * (gates - 1) if peephole_P is None else peephole_P.chunk(gates - 1)


def _see(x_BH: Tensor, p_H: Tensor | None, c_BH: Tensor) -> Tensor:
    """x + p * c in place, x where there is no p."""
    return x_BH if p_H is None else x_BH.addcmul_(p_H, c_BH)


def _peephole_gradient(dgates_BTG: Tensor, c_BTH: Tensor, first_BH: Tensor) -> Tensor:
    """sum over rows and steps of di_t c_{t-1}, df_t c_{t-1}, do_t c_t."""
    *d_before, _, do_BTH = dgates_BTG.chunk(dgates_BTG.shape[2] // c_BTH.shape[2], 2)
    dtype = first_BH.dtype
    sums = [(d[:, 1:] * c_BTH[:, :-1]).sum((0, 1), dtype=dtype) + (d[:, 0] * first_BH).sum(0) for d in d_before]
    return torch.cat([*sums, (do_BTH * c_BTH).sum((0, 1), dtype=dtype)])


PLAIN = Loops(_forward, _backward)


class _LSTM(torch.autograd.Function):
    """What surrounds the loops: products over all steps, and what is saved. x and both weights come in S."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_G: Tensor,
        peephole_P: Tensor | None,
        lengths_B: Tensor | None,
        save: bool,
        loops: Loops,
    ) -> tuple[Tensor, ...]:
        gates_BTG = loops.input.project(x_BTI, weight_ih, bias_G)
        h_BTH, c_BTH, final = loops.forward(gates_BTG, (h_BH, c_BH), weight_hh, peephole_P, lengths_B, save=save)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_BTI, h_BH, c_BH, weight_ih, weight_hh, peephole_P, lengths_B, gates_BTG, c_BTH, h_BTH)
        ctx.loops = loops
        return h_BTH, *final

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_BTH: Tensor | None, *dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, *state, weight_ih, weight_hh, peephole_P, lengths_B, gates_BTG, c_BTH, h_BTH = ctx.saved_tensors
        with no_autocast(x_BTI):
            dgates_BTG, dstate, dbias_G, dpeephole_P = ctx.loops.backward(
                gates_BTG,
                c_BTH,
                tuple(state),
                weight_hh,
                peephole_P,
                lengths_B,
                *upstream(dh_BTH, dfinal, state[0]),
            )
            dx_BTI, dweight_ih = ctx.loops.input.backward(dgates_BTG, x_BTI, weight_ih, needs_x=ctx.needs_input_grad[0])
            dweight_hh = product_with_previous(dgates_BTG, h_BTH, state[0])
        return dx_BTI, *dstate, dweight_ih, dweight_hh, dbias_G, dpeephole_P, None, None, None


def scan(
    x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool, loops: Loops = PLAIN
) -> tuple[Tensor, State]:
    """i, f, g, o = W x_t + b + U h_{t-1} + b';  i, f, o through the sigmoid, g through tanh;
    c_t = f * c_{t-1} + i * g;  h_t = o * tanh(c_t)

    (Hochreiter and Schmidhuber 1997, Gers, Schmidhuber and Cummins 2000), as `s2s.kernels.protocol.Run`. Weights of
    three gates mean f = 1. With peepholes (Gers and Schmidhuber 2000) i and f also see p * c_{t-1}, o sees p * c_t.

    Args:
        x_BTI: (B, T, I).
        state: (h, c), (B, H) each.
        weights: (weight_ih (G, I), weight_hh (G, H), bias_ih (G), bias_hh (G)), and peepholes (G - H) if there are any.
        lengths_B: steps of each row, None for T.
        every: unused, every step is kept.
        loops: the engine.

    Returns:
        h_BTH in the dtype of the products, zero at padding, and the final (h, c).
    """
    del every
    weight_ih, weight_hh, bias_ih, bias_hh, *peephole = weights
    dtype = product_dtype(weight_ih)
    with no_autocast(x_BTI):
        h_BTH, *final = _LSTM.apply(  # type: ignore[no-untyped-call]
            x_BTI.to(dtype).contiguous(),
            *(part.contiguous() for part in state),
            weight_ih.to(dtype),
            weight_hh.to(dtype).contiguous(),
            bias_ih + bias_hh,
            peephole[0] if peephole else None,
            lengths_B,
            learns(x_BTI, *state, *weights),
            loops,
        )
    return h_BTH, tuple(final)
