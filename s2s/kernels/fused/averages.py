"""Moving averages of phi_t, which the statistical recurrent unit reads, without ever holding those of all steps.

mu_t^(alpha) = alpha mu_{t-1}^(alpha) + (1 - alpha) phi_t is a filter without weights: what a step keeps is phi (P
numbers), and the averages (A P, five times as many by default) are made again wherever they are needed, for some rows
of the batch at a time.

Shapes: B batch, T time, A decays, P size of a step, K = A * P, O output, N rows times steps. S: the dtype of the
products and of all that has T. What has no T is of the state's dtype, which is that of alpha.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.kernels.fused.products import add_product_, blank_, no_autocast

ELEMENTS = 1 << 18
"""Averages made at a time on a CPU: 1 MB of float32, about what a core's own cache holds."""

ELEMENTS_ACCELERATOR = 1 << 25
"""Likewise elsewhere: 64 MB of bfloat16, since few large kernels are faster there than many small ones."""


class Averages(Protocol):
    """(phi_BTP, mu_BAP before the first step, alpha_A) -> mu_BTAP in S, contiguous.

    phi is contiguous. P is any width: the backward of the recurrence also averages gradients of r, and from the end:
    back=True begins with the last step.
    """

    def __call__(self, phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor, /, *, back: bool = False) -> Tensor: ...


class AveragesBackward(Protocol):
    """(dmu_BTAP in S, contiguous, alpha_A) -> (dphi_BTP in S, gradient of the average before the first step)."""

    def __call__(self, dmu_BTAP: Tensor, alpha_A: Tensor, /) -> tuple[Tensor, Tensor]: ...


class Filter(NamedTuple):
    """The moving averages and their transpose."""

    forward: Averages
    backward: AveragesBackward


def _forward(phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor, /, *, back: bool = False) -> Tensor:
    mu_BTAP = phi_BTP.new_empty(*phi_BTP.shape[:2], *mu_BAP.shape[1:])
    # A step costs three launches, far fewer than one of the recurrence. A product with the triangular matrix of the
    # powers of alpha would take fewer still, and T times the arithmetic.
    steps = range(phi_BTP.shape[1])
    for t in reversed(steps) if back else steps:
        mu_BAP = torch.lerp(phi_BTP[:, t].to(alpha_A.dtype).unsqueeze(1), mu_BAP, alpha_A[:, None])
        mu_BTAP[:, t] = mu_BAP
    return mu_BTAP


def _backward(dmu_BTAP: Tensor, alpha_A: Tensor, /) -> tuple[Tensor, Tensor]:
    """With b_t the gradient of mu_t through all later steps, (1 - alpha) b is the same filter, run backwards."""
    batch, time, decays, size = dmu_BTAP.shape
    alpha_A1 = alpha_A[:, None]
    dphi_BTP = dmu_BTAP.new_empty(batch, time, size)
    shared_BAP = alpha_A.new_zeros(batch, decays, size)
    for t in reversed(range(time)):
        shared_BAP = torch.lerp(dmu_BTAP[:, t].to(alpha_A.dtype), shared_BAP, alpha_A1)
        dphi_BTP[:, t] = shared_BAP.sum(1)
    return dphi_BTP, shared_BAP * (alpha_A1 / (1 - alpha_A1))


PLAIN = Filter(_forward, _backward)


def some_rows(values_BTP: Tensor, decays: int) -> Iterator[slice]:
    """Rows of the batch whose averages are made at a time, at least one."""
    batch, time, size = values_BTP.shape
    elements = ELEMENTS if values_BTP.device.type == "cpu" else ELEMENTS_ACCELERATOR
    rows = max(1, elements // max(1, time * decays * size))
    return (slice(start, start + rows) for start in range(0, batch, rows))


def through_relu(dy: Tensor, y: Tensor) -> Tensor:
    """dy where y = relu(z) is positive, else zero, also where dy is NaN; S both. On a CPU much faster than `where`."""
    dz: Tensor = torch.ops.aten.threshold_backward(dy, y, 0)
    return dz


def final(phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor, lengths_B: Tensor | None) -> Tensor:
    """mu after n steps: alpha^n mu_0 + sum_t (1 - alpha) alpha^(n - t) phi_t, t = 1 .. n; phi is zero afterwards."""
    time = phi_BTP.shape[1]
    steps_B1 = torch.full((1, 1), time, device=alpha_A.device) if lengths_B is None else lengths_B[:, None]
    after_BT = steps_B1 - 1 - torch.arange(time, device=alpha_A.device)
    alpha_A1 = alpha_A[:, None]
    # alpha may be 0, and 0^0 = 1; after the end, where its power would be infinite, phi is zero and any factor will do.
    share_BAT = (1 - alpha_A1) * alpha_A1 ** after_BT.clamp_(min=0).unsqueeze(1)
    kept_BA1 = alpha_A1 ** steps_B1.unsqueeze(1)
    return kept_BA1 * mu_BAP + share_BAT @ phi_BTP.to(alpha_A.dtype)


class _Read(torch.autograd.Function):
    """o_t = relu(W mu_t + b), zero at padding. W comes in S."""

    @staticmethod
    def forward(
        ctx: Any,
        phi_BTP: Tensor,
        mu_BAP: Tensor,
        alpha_A: Tensor,
        weight_OK: Tensor,
        bias_O: Tensor,
        lengths_B: Tensor | None,
        averages: Filter,
    ) -> Tensor:
        o_BTO = phi_BTP.new_empty(*phi_BTP.shape[:2], len(weight_OK))
        bias = bias_O.to(phi_BTP.dtype)
        for rows in some_rows(phi_BTP, len(alpha_A)):
            mu_NK = averages.forward(phi_BTP[rows], mu_BAP[rows], alpha_A).flatten(2).flatten(0, 1)
            torch.addmm(bias, mu_NK, weight_OK.t(), out=o_BTO[rows].flatten(0, 1))
        blank_(lengths_B, o_BTO.relu_())
        ctx.save_for_backward(phi_BTP, mu_BAP, alpha_A, weight_OK, o_BTO)
        ctx.averages = averages
        return o_BTO

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, do_BTO: Tensor) -> tuple[Tensor | None, ...]:
        phi_BTP, mu_BAP, alpha_A, weight_OK, o_BTO = ctx.saved_tensors
        dphi_BTP, dmu_BAP = torch.empty_like(phi_BTP), torch.empty_like(mu_BAP)
        dweight_OK = torch.zeros_like(weight_OK, dtype=alpha_A.dtype)
        dbias_O = alpha_A.new_zeros(len(weight_OK))
        with no_autocast(phi_BTP):
            for rows in some_rows(phi_BTP, len(alpha_A)):
                # o is zero at padding, so that nothing flows from there.
                dpre_NO = through_relu(do_BTO[rows], o_BTO[rows]).flatten(0, 1)
                mu_BTAP = ctx.averages.forward(phi_BTP[rows], mu_BAP[rows], alpha_A)
                mu_NK = mu_BTAP.flatten(2).flatten(0, 1)
                add_product_(dweight_OK, dpre_NO.t(), mu_NK)
                dbias_O += dpre_NO.sum(0, dtype=alpha_A.dtype)
                torch.mm(dpre_NO, weight_OK, out=mu_NK)  # the averages have served: their gradients take their place
                dphi_BTP[rows], dmu_BAP[rows] = ctx.averages.backward(mu_BTAP, alpha_A)
        return dphi_BTP, dmu_BAP, None, dweight_OK, dbias_O, None, None


def read(
    phi_BTP: Tensor,
    mu_BAP: Tensor,
    alpha_A: Tensor,
    weight_OK: Tensor,
    bias_O: Tensor,
    lengths_B: Tensor | None,
    averages: Filter = PLAIN,
) -> Tensor:
    """relu(W mu_t + b) for every step, (B, T, O), zero at padding; W in the dtype of phi, mu before the first step."""
    o_BTO: Tensor = _Read.apply(phi_BTP, mu_BAP, alpha_A, weight_OK, bias_O, lengths_B, averages)  # type: ignore[no-untyped-call]
    return o_BTO
