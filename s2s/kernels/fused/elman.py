"""The simple recurrent network as one function with a hand-derived backward.

Shapes: B batch, T time, I input, H hidden. S: the dtype of the products and of all that has T.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, assert_never

import torch
from torch import Tensor

from s2s.kernels.fused.products import (
    INPUT,
    Input,
    active_rows,
    add_product,
    blank_,
    keep_finished,
    no_autocast,
    product_dtype,
    product_with_previous,
    sigmoid_slope,
    upstream,
)
from s2s.kernels.protocol import State

Activation = Literal["tanh", "relu", "sigmoid"]


class Forward(Protocol):
    """The final (h,). In place the gates become h_t, zero at padding."""

    def __call__(
        self,
        gates_BTH: Tensor,
        state: State,
        weight_hh: Tensor,
        lengths_B: Tensor | None,
        activation: Activation,
        /,
    ) -> State: ...


class Backward(Protocol):
    """(h as forward left it, weight_hh, lengths, dh, dfinal, activation) -> (dgates_BTH, dstate, dbias_H)."""

    def __call__(
        self,
        h_BTH: Tensor,
        weight_hh: Tensor,
        lengths_B: Tensor | None,
        dh_BTH: Tensor | None,
        dfinal: State,
        activation: Activation,
        /,
    ) -> tuple[Tensor, State, Tensor]: ...


class Loops(NamedTuple):
    """Both loops over time, and the product before them."""

    forward: Forward
    backward: Backward
    input: Input = INPUT


def _forward(
    gates_BTH: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, activation: Activation, /
) -> State:
    for t, active_B1 in enumerate(active_rows(lengths_B, gates_BTH.shape[1])):
        h_BH = _activate_(add_product(gates_BTH[:, t], state[0], weight_hh), activation)
        gates_BTH[:, t] = h_BH
        state = keep_finished(active_B1, (h_BH,), state)
    blank_(lengths_B, gates_BTH)
    return state


def _backward(
    h_BTH: Tensor,
    weight_hh: Tensor,
    lengths_B: Tensor | None,
    dh_BTH: Tensor | None,
    dfinal: State,
    activation: Activation,
    /,
) -> tuple[Tensor, State, Tensor]:
    dtype = dfinal[0].dtype
    dgates_BTH = torch.empty_like(h_BTH)
    dstate = dfinal
    active = active_rows(lengths_B, h_BTH.shape[1])
    for t in reversed(range(len(active))):
        (dh_BH,) = dstate
        if dh_BTH is not None:
            dh_BH = dh_BH + dh_BTH[:, t]
        dgates_BTH[:, t] = dh_BH * _slope(h_BTH[:, t].to(dtype), activation)
        dh_BH = torch.mm(dgates_BTH[:, t], weight_hh).to(dtype)
        dstate = keep_finished(active[t], (dh_BH,), dstate)
    blank_(lengths_B, dgates_BTH)
    return dgates_BTH, dstate, dgates_BTH.sum((0, 1), dtype=dtype)


def _activate_(z_BH: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "tanh":
            return z_BH.tanh_()
        case "relu":
            return z_BH.relu_()
        case "sigmoid":
            return z_BH.sigmoid_()
        case _:
            assert_never(activation)


def _slope(h_BH: Tensor, activation: Activation) -> Tensor:
    """The derivative of the activation whose value is h."""
    match activation:
        case "tanh":
            return 1 - h_BH * h_BH
        case "relu":
            return (h_BH > 0).to(h_BH.dtype)
        case "sigmoid":
            return sigmoid_slope(h_BH)
        case _:
            assert_never(activation)


PLAIN = Loops(_forward, _backward)


class _Elman(torch.autograd.Function):
    """What surrounds the loops: products over all steps, and what is saved. x and both weights come in S."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        h_BH: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_H: Tensor,
        lengths_B: Tensor | None,
        activation: Activation,
        loops: Loops,
    ) -> tuple[Tensor, Tensor]:
        h_BTH = loops.input.project(x_BTI, weight_ih, bias_H)
        (final_BH,) = loops.forward(h_BTH, (h_BH,), weight_hh, lengths_B, activation)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_BTI, h_BH, weight_ih, weight_hh, lengths_B, h_BTH)
        ctx.activation, ctx.loops = activation, loops
        return h_BTH, final_BH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_BTH: Tensor | None, *dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, first_BH, weight_ih, weight_hh, lengths_B, h_BTH = ctx.saved_tensors
        with no_autocast(x_BTI):
            dgates_BTH, dstate, dbias_H = ctx.loops.backward(
                h_BTH,
                weight_hh,
                lengths_B,
                *upstream(dh_BTH, dfinal, first_BH),
                ctx.activation,
            )
            dx_BTI, dweight_ih = ctx.loops.input.backward(dgates_BTH, x_BTI, weight_ih, needs_x=ctx.needs_input_grad[0])
            dweight_hh = product_with_previous(dgates_BTH, h_BTH, first_BH)
        return dx_BTI, *dstate, dweight_ih, dweight_hh, dbias_H, None, None, None


def scan(
    x_BTI: Tensor,
    state: State,
    weights: State,
    lengths_B: Tensor | None,
    /,
    *,
    every: bool,
    activation: Activation,
    loops: Loops = PLAIN,
) -> tuple[Tensor, State]:
    """h_t = f(W x_t + b + U h_{t-1} + b') (Elman, "Finding Structure in Time", 1990), as `s2s.kernels.protocol.Run`.

    Args:
        x_BTI: (B, T, I).
        state: (h,), (B, H).
        weights: (weight_ih (H, I), weight_hh (H, H), bias_ih (H), bias_hh (H)).
        lengths_B: steps of each row, None for T.
        every: unused, every step is kept.
        activation: f.
        loops: the engine.

    Returns:
        h_BTH in the dtype of the products, zero at padding, and the final (h,).
    """
    del every
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    dtype = product_dtype(weight_ih)
    with no_autocast(x_BTI):
        h_BTH, final_BH = _Elman.apply(  # type: ignore[no-untyped-call]
            x_BTI.to(dtype).contiguous(),
            state[0].contiguous(),
            weight_ih.to(dtype),
            weight_hh.to(dtype).contiguous(),
            bias_ih + bias_hh,
            lengths_B,
            activation,
            loops,
        )
    return h_BTH, (final_BH,)
