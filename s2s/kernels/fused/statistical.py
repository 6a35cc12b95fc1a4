"""The statistical recurrent unit with a hand-derived backward, in an exact form with a smaller state.

r needs of the averages only W_r mu_t = sum over alpha of q_t^(alpha), and q^(alpha) = W_r^(alpha) mu^(alpha) is a
moving average itself, of W_r^(alpha) phi_t. So the loop carries A R numbers instead of A P; the averages of phi are
made outside of it (`s2s.kernels.fused.averages`), and the variants without r have no loop at all.

Shapes: B batch, T time, I input, A decays, P phi size, R recurrent size, Q = A * R, K = A * P, O output.
S: the dtype of the products and of all that has T. What has no T is of the state's dtype, which is that of alpha.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s.kernels.fused import averages
from s2s.kernels.fused.products import (
    INPUT,
    Input,
    active_rows,
    add_product,
    blank_,
    no_autocast,
    product_dtype,
    product_with_previous,
)
from s2s.kernels.protocol import State


class Forward(Protocol):
    """r_BTR; in place the gates W_x x_t + b_phi become phi_t, zero at padding (where r may be anything finite).

    r_t = relu(sum_alpha q_{t-1} + b_r); phi_t = relu(gates_t + W_phi r_t); q_t = alpha q_{t-1} + (1 - alpha) W_q phi_t,
    with weight_q (Q, P) in S, the rows W_r^(alpha) of all decays one after another, and weight_r_phi (P, R) in S.
    """

    def __call__(
        self,
        gates_BTP: Tensor,
        q_BAR: Tensor,
        alpha_A: Tensor,
        weight_q: Tensor,
        bias_R: Tensor,
        weight_r_phi: Tensor,
        lengths_B: Tensor | None,
        /,
    ) -> Tensor: ...


class Backward(Protocol):
    """(phi, r as forward left them, alpha, weight_q, weight_r_phi, lengths, dphi) -> (dgates_BTP, dr_BTR, dq_BAR).

    dgates_t and dr_t are the gradients inside the relu of phi_t and of r_t, both zero at padding; dq that of q_0:

    dphi'_t = dphi_t + sum_alpha (1 - alpha) dq_t W_q; dgates_t = dphi'_t [phi_t > 0]; dr_t = dgates_t W_phi [r_t > 0];
    dq_{t-1} = dr_t + alpha dq_t; dq_T = 0. phi_t = 0 at padding makes all of this zero there, whatever dphi holds.
    """

    def __call__(
        self,
        phi_BTP: Tensor,
        r_BTR: Tensor,
        alpha_A: Tensor,
        weight_q: Tensor,
        weight_r_phi: Tensor,
        lengths_B: Tensor | None,
        dphi_BTP: Tensor,
        /,
    ) -> tuple[Tensor, Tensor, Tensor]: ...


class Loops(NamedTuple):
    """Both loops of the recurrence, the moving averages, and the product of the inputs."""

    forward: Forward
    backward: Backward
    averages: averages.Filter
    input: Input = INPUT


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
    batch, time = gates_BTP.shape[:2]
    r_BTR = gates_BTP.new_empty(batch, time, len(bias_R))
    for t, active_B1 in enumerate(active_rows(lengths_B, time)):
        r_BR = q_BAR.sum(1).add_(bias_R).relu_()
        phi_BP = add_product(gates_BTP[:, t], r_BR, weight_r_phi).relu_()
        if active_B1 is not None:
            phi_BP *= active_B1
        r_BTR[:, t], gates_BTP[:, t] = r_BR, phi_BP
        new_BAR = torch.mm(gates_BTP[:, t], weight_q.t()).view_as(q_BAR)
        q_BAR = torch.lerp(new_BAR.to(q_BAR.dtype), q_BAR, alpha_A[:, None])
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
    dgates_BTP, dr_BTR = torch.empty_like(phi_BTP), torch.empty_like(r_BTR)
    alpha_A1 = alpha_A[:, None]
    shared_BAR = alpha_A.new_zeros(len(phi_BTP), len(alpha_A), r_BTR.shape[2])  # (1 - alpha) dq_t
    for t in reversed(range(phi_BTP.shape[1])):
        dphi_BP = add_product(dphi_BTP[:, t], shared_BAR.flatten(1), weight_q.t())
        dgates_BP = averages.through_relu(dphi_BP.to(phi_BTP.dtype), phi_BTP[:, t])
        dr_BR = averages.through_relu(torch.mm(dgates_BP, weight_r_phi), r_BTR[:, t])
        dgates_BTP[:, t], dr_BTR[:, t] = dgates_BP, dr_BR
        shared_BAR = torch.lerp(dr_BR.to(alpha_A.dtype).unsqueeze(1), shared_BAR, alpha_A1)
    return dgates_BTP, dr_BTR, shared_BAR / (1 - alpha_A1)


PLAIN = Loops(_forward, _backward, averages.PLAIN)


class _Phi(torch.autograd.Function):
    """phi of every step: products over all steps, and what is saved. x and the weights come in S."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        q_BAR: Tensor,
        alpha_A: Tensor,
        weight_ih: Tensor,
        bias_P: Tensor,
        weight_q: Tensor,
        bias_R: Tensor,
        weight_r_phi: Tensor,
        lengths_B: Tensor | None,
        loops: Loops,
    ) -> Tensor:
        phi_BTP = loops.input.project(x_BTI, weight_ih, bias_P)
        r_BTR = loops.forward(phi_BTP, q_BAR, alpha_A, weight_q, bias_R, weight_r_phi, lengths_B)
        ctx.save_for_backward(x_BTI, alpha_A, weight_ih, weight_q, weight_r_phi, lengths_B, phi_BTP, r_BTR)
        ctx.loops = loops
        return phi_BTP

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dphi_BTP: Tensor) -> tuple[Tensor | None, ...]:
        x_BTI, alpha_A, weight_ih, weight_q, weight_r_phi, lengths_B, phi_BTP, r_BTR = ctx.saved_tensors
        with no_autocast(x_BTI):
            dgates_BTP, dr_BTR, dq_BAR = ctx.loops.backward(
                phi_BTP, r_BTR, alpha_A, weight_q, weight_r_phi, lengths_B, dphi_BTP.contiguous()
            )
            dx_BTI, dweight_ih = ctx.loops.input.backward(dgates_BTP, x_BTI, weight_ih, needs_x=ctx.needs_input_grad[0])
            dweight_q = _product_with_averages(dr_BTR, phi_BTP, alpha_A, ctx.loops.averages)
            dweight_r_phi = torch.mm(dgates_BTP.flatten(0, 1).t(), r_BTR.flatten(0, 1))
            dbias_P, dbias_R = (d.sum((0, 1), dtype=alpha_A.dtype) for d in (dgates_BTP, dr_BTR))
        return dx_BTI, dq_BAR, None, dweight_ih, dbias_P, dweight_q, dbias_R, dweight_r_phi, None, None


def _product_with_averages(dr_BTR: Tensor, phi_BTP: Tensor, alpha_A: Tensor, average: averages.Filter) -> Tensor:
    """sum_t (1 - alpha) dq_t^T phi_t, (Q, P), the gradient of W_q.

    dq_t = dr_{t+1} + alpha dq_{t+1}: (1 - alpha) dq_t is the moving average of dr, begun at the end, up to step t + 1.
    (Averages of dr, not those of phi up to t - 1, which would do as well: R numbers a decay and not P.)
    """
    decays, size = len(alpha_A), dr_BTR.shape[2]
    dweight_QP = alpha_A.new_zeros(decays * size, phi_BTP.shape[2])
    for rows in averages.some_rows(dr_BTR, decays):
        none_BAR = alpha_A.new_zeros(len(dr_BTR[rows]), decays, size)
        shared_BTQ = average.forward(dr_BTR[rows], none_BAR, alpha_A, back=True).flatten(2)
        # The phi before the first step is zero: its part of q_0 is handed to the first state.
        dweight_QP += product_with_previous(
            shared_BTQ, phi_BTP[rows], phi_BTP.new_zeros(len(none_BAR), phi_BTP.shape[2])
        )
    return dweight_QP


def _phi_without_statistics(x_BTI: Tensor, weight_ih: Tensor, bias_P: Tensor, lengths_B: Tensor | None) -> Tensor:
    """relu(W_x x_t + b_phi), zero at padding."""
    gates_BTP = F.linear(x_BTI, weight_ih, bias_P.to(weight_ih.dtype))
    blank_(lengths_B, gates_BTP)
    return gates_BTP.relu_()


def scan(
    x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool, loops: Loops = PLAIN
) -> tuple[Tensor, State]:
    """r_t = relu(W_r mu_{t-1} + b_r);  phi_t = relu(W_phi r_t + W_x x_t + b_phi);
    mu_t^(alpha) = alpha mu_{t-1}^(alpha) + (1 - alpha) phi_t for each decay alpha;  o_t = relu(W_o mu_t + b_o)

    (Oliva, Poczos and Schneider 2017, arXiv 1703.00381), as `s2s.kernels.protocol.Run`.

    Args:
        x_BTI: (B, T, I).
        state: (mu,), the averages of all decays side by side, (B, A * P).
        weights: (alpha (A,), W_x (P, I), b_phi (P,), W_o (O, A * P), b_o (O,)) and, where there are recurrent
            statistics, W_r (R, A * P), b_r (R,), W_phi (P, R). alpha in [0, 1), without a gradient.
        lengths_B: steps of each row, None for T.
        every: whether o is read; else the first result has no steps.
        loops: the engine.

    Returns:
        o_BTO in the dtype of the products, zero at padding, and the final (mu,).
    """
    alpha_A, weight_ih, bias_P, weight_out, bias_O, *recurrent = weights
    dtype = product_dtype(weight_ih)
    with no_autocast(x_BTI):
        alpha_A = alpha_A.to(state[0].dtype)
        mu_BAP = state[0].reshape(len(state[0]), len(alpha_A), weight_ih.shape[0]).contiguous()
        x_BTI, weight_ih = x_BTI.to(dtype).contiguous(), weight_ih.to(dtype)
        if recurrent:
            phi_BTP = _phi(x_BTI, mu_BAP, alpha_A, weight_ih, bias_P, recurrent, lengths_B, loops)
        else:
            phi_BTP = _phi_without_statistics(x_BTI, weight_ih, bias_P, lengths_B)
        after = (averages.final(phi_BTP, mu_BAP, alpha_A, lengths_B).flatten(1),)
        if not every:
            return phi_BTP[:, :0], after
        return averages.read(phi_BTP, mu_BAP, alpha_A, weight_out.to(dtype), bias_O, lengths_B, loops.averages), after


def _phi(
    x_BTI: Tensor,
    mu_BAP: Tensor,
    alpha_A: Tensor,
    weight_ih: Tensor,
    bias_P: Tensor,
    recurrent: list[Tensor],
    lengths_B: Tensor | None,
    loops: Loops,
) -> Tensor:
    """phi of every step from (W_r, b_r, W_phi); q_0^(alpha) = W_r^(alpha) mu_0^(alpha)."""
    weight_mu_r, bias_R, weight_r_phi = recurrent
    dtype = weight_ih.dtype
    weight_ARP = weight_mu_r.reshape(len(bias_R), *mu_BAP.shape[1:]).transpose(0, 1)
    q_BAR = torch.einsum("arp,bap->bar", weight_ARP.to(mu_BAP.dtype), mu_BAP).contiguous()
    phi_BTP: Tensor = _Phi.apply(  # type: ignore[no-untyped-call]
        x_BTI,
        q_BAR,
        alpha_A,
        weight_ih,
        bias_P,
        weight_ARP.to(dtype).flatten(0, 1).contiguous(),
        bias_R,
        weight_r_phi.to(dtype).contiguous(),
        lengths_B,
        loops,
    )
    return phi_BTP
