"""The output layer and its cross-entropy as one function, in chunks of rows, with a hand-derived backward.

The logits of a batch (1,200 positions x 8,000 tokens are 38 MB) never exist as a whole: a chunk of them is made, turned
into its gradient where it stands, and multiplied into the gradients of features and weight while it is in the cache.
"""

# N positions, V vocabulary, F features, C rows of a chunk

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ELEMENTS = 1 << 21
"""Elements of a chunk of logits: 8 MB of float32, which the cores' shared cache holds; larger is no faster."""


def linear_cross_entropy(
    features_NF: Tensor, weight_VF: Tensor, bias_V: Tensor, target_N: Tensor, *, smoothing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over rows of the smoothed loss, of the negative log-likelihood of log softmax(W f + b), and of hits.

    total = (1 - e) nll - e mean_v log p_v (Szegedy et al. 2016). Only `total` has a gradient, and only a first one.
    Products take the dtype of autocast where it is on; sums and exponentials are float32 (float64 for float64 input).

    Args:
        features_NF: (N, F).
        weight_VF, bias_V: the output layer.
        target_N: token ids.
        smoothing: e, the share spread evenly over all V tokens.

    Returns:
        total and nll, scalars, and the number of rows whose target is likeliest (ties count).
    """
    device = features_NF.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features_NF.dtype
    with torch.autocast(device, enabled=False):
        total, nll, hits = _LinearCrossEntropy.apply(features_NF, weight_VF, bias_V, target_N, smoothing, low)  # type: ignore[no-untyped-call]
    return total, nll, hits


class _LinearCrossEntropy(torch.autograd.Function):
    """With g = softmax(z) - (1 - e) onehot(y) - e / V of a chunk: dF = g W, dW += g^T F, db += sum g."""

    @staticmethod
    def forward(
        ctx: Any,
        features_NF: Tensor,
        weight_VF: Tensor,
        bias_V: Tensor,
        target_N: Tensor,
        smoothing: float,
        low: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = torch.float64 if features_NF.dtype == torch.float64 else torch.float32
        weight, bias, features = weight_VF.to(low), bias_V.to(exact), features_NF.to(low)
        vocabulary = weight.shape[0]
        d_features = torch.empty_like(features)
        d_weight = torch.zeros(weight.shape, dtype=exact, device=weight.device)
        d_bias = torch.zeros_like(bias)
        total, nll, hits = bias.new_zeros(()), bias.new_zeros(()), target_N.new_zeros(())
        rows = max(1, ELEMENTS // vocabulary)
        for start in range(0, len(features), rows):
            f_CF, y_C1 = features[start : start + rows], target_N[start : start + rows].unsqueeze(1)
            z_CV = torch.mm(f_CF, weight.t()).to(exact).add_(bias)
            z_CV -= z_CV.amax(1, keepdim=True)
            z_C1, everything = z_CV.gather(1, y_C1), z_CV.sum()
            hits += (z_C1 == 0).sum()
            right = z_C1.sum()
            e_CV = z_CV.exp_()
            sum_C1 = e_CV.sum(1, keepdim=True)
            norm = sum_C1.log().sum()
            nll += norm - right
            total += (1.0 - smoothing) * (norm - right)
            if smoothing:
                total += smoothing * (norm - everything / vocabulary)
            g_CV = e_CV.div_(sum_C1)
            if smoothing:
                g_CV -= smoothing / vocabulary
            g_CV.scatter_add_(1, y_C1, torch.full_like(sum_C1, smoothing - 1.0))
            d_bias += g_CV.sum(0)
            g_low = g_CV.to(low)
            torch.mm(g_low, weight, out=d_features[start : start + rows])
            d_weight += torch.mm(g_low.t(), f_CF)
        ctx.save_for_backward(d_features.to(features_NF.dtype), d_weight.to(weight_VF.dtype), d_bias.to(bias_V.dtype))
        ctx.mark_non_differentiable(nll, hits)
        return total, nll, hits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        d_features, d_weight, d_bias = ctx.saved_tensors
        return d_features * d_total, d_weight * d_total, d_bias * d_total, None, None, None
