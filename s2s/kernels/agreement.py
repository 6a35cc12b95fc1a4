"""The loss of R-Drop: an output layer read twice, its cross-entropies and what the two readings differ by, in chunks.

As in `kernels.cross_entropy`, the logits of a batch never exist as a whole, and the backward is derived by hand.
"""

# N positions, V vocabulary, F features, C rows of a chunk; p and q are the two readings' distributions

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ELEMENTS = 1 << 20
"""Elements of a chunk of one reading's logits; two of them are held with their differences."""


def linear_agreement(
    one_NF: Tensor,
    other_NF: Tensor,
    weight_VF: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    *,
    strength: float,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Sums over rows of R-Drop's loss and of the mean negative log-likelihood of the two readings (Liang et al. 2021).

    total = 1/2 (CE(p) + CE(q)) + a/4 (KL(p || q) + KL(q || p)), with p = softmax(W f + b), q = softmax(W f' + b) and
    the smoothed cross-entropy of `linear_cross_entropy`: half of the paper's equation 4, so that a = 0 leaves the mean
    cross-entropy. Only `total` has a gradient, and only a first one. Dtypes are those of `linear_cross_entropy`.

    Args:
        one_NF, other_NF: (N, F) each, the features of the same positions under two draws of dropout.
        weight_VF, bias_V: the output layer.
        target_N: token ids.
        strength: a.
        smoothing: the share of probability spread evenly over all V tokens.

    Returns:
        total and nll, scalars.
    """
    device = one_NF.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else one_NF.dtype
    with torch.autocast(device, enabled=False):
        total, nll = _LinearAgreement.apply(  # type: ignore[no-untyped-call]
            one_NF, other_NF, weight_VF, bias_V, target_N, strength, smoothing, low
        )
    return total, nll


class _LinearAgreement(torch.autograd.Function):
    """With d = log p - log q: dz = 1/2 (p - (1 - e) onehot(y) - e / V) + a/4 (p (d - KL(p || q)) + p - q).

    For the other reading p and q change places.
    """

    @staticmethod
    def forward(
        ctx: Any,
        one_NF: Tensor,
        other_NF: Tensor,
        weight_VF: Tensor,
        bias_V: Tensor,
        target_N: Tensor,
        strength: float,
        smoothing: float,
        low: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        exact = torch.float64 if one_NF.dtype == torch.float64 else torch.float32
        weight, bias = weight_VF.to(low), bias_V.to(exact)
        readings = one_NF.to(low), other_NF.to(low)
        d_readings = torch.empty_like(readings[0]), torch.empty_like(readings[1])
        d_weight = torch.zeros(weight.shape, dtype=exact, device=weight.device)
        d_bias = torch.zeros_like(bias)
        total, nll = bias.new_zeros(()), bias.new_zeros(())
        rows = max(1, ELEMENTS // weight.shape[0])
        for start in range(0, len(target_N), rows):
            chunk = slice(start, start + rows)
            y_C1 = target_N[chunk].unsqueeze(1)
            log_p, log_q = (
                F.log_softmax(torch.mm(f_NF[chunk], weight.t()).to(exact).add_(bias), 1) for f_NF in readings
            )
            lost = -(log_p.gather(1, y_C1).sum() + log_q.gather(1, y_C1).sum()) / 2
            nll += lost
            total += (1.0 - smoothing) * lost
            if smoothing:
                total -= smoothing / 2 * (log_p.mean(1).sum() + log_q.mean(1).sum())
            apart_CV = log_p - log_q
            p_CV, q_CV = log_p.exp_(), log_q.exp_()
            differ_CV = p_CV - q_CV
            for f_NF, d_NF, own_CV, sign in zip(readings, d_readings, (p_CV, q_CV), (1.0, -1.0), strict=True):
                kl_C1 = (own_CV * apart_CV).sum(1, keepdim=True).mul_(sign)
                total += strength / 4 * kl_C1.sum()
                g_CV = apart_CV.mul(sign).sub_(kl_C1).mul_(strength / 4).add_(0.5).mul_(own_CV)
                g_CV.add_(differ_CV, alpha=sign * strength / 4)
                if smoothing:
                    g_CV -= smoothing / 2 / weight.shape[0]
                g_CV.scatter_add_(1, y_C1, torch.full_like(kl_C1, (smoothing - 1.0) / 2))
                d_bias += g_CV.sum(0)
                g_low = g_CV.to(low)
                torch.mm(g_low, weight, out=d_NF[chunk])
                d_weight += torch.mm(g_low.t(), f_NF[chunk])
        ctx.save_for_backward(
            *(d_NF.to(one_NF.dtype) for d_NF in d_readings), d_weight.to(weight_VF.dtype), d_bias.to(bias_V.dtype)
        )
        ctx.mark_non_differentiable(nll)
        return total, nll

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *(part * d_total for part in ctx.saved_tensors), None, None, None, None
