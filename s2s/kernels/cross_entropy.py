"""The output layer and its cross-entropy as one function, in chunks of rows, with a hand-derived backward.

The logits of a batch (1,200 positions x 8,000 tokens are 38 MB) never exist as a whole: a chunk of them is made, turned
into its gradient where it stands, and multiplied into the gradients of features and weight while it is in the cache. On
the CPU what lies between the products is a loop in C++ (`compiled/source/softmax.cpp`), where there is a compiler; in
bfloat16, on processors with vectors of such pairs, the products are too (`compiled/source/output.cpp`). Under
`switchback.eight_bits` they are in 8 bits: the target's part of the gradient and the smoothing's stay exact, the rest
is rounded without bias (`compiled/source/output_eight.hpp`).
"""

# N positions, V vocabulary, F features, C rows of a chunk

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.kernels import switchback
from s2s.kernels.compiled import not_built, output
from s2s.kernels.compiled.call import NAMES
from s2s.kernels.compiled.softmax import softmax_rows
from s2s.kernels.vectors import multiplies_pairs

BYTES = 1 << 24
"""Of a chunk of logits: what the cores' shared cache holds. Smaller ones add to the weight's gradient more often."""

BYTES_ON_A_GPU = 1 << 28
"""There each chunk is some ten launches, and there is no such cache (not measured)."""

LEAST = 256
"""Tokens from which on all of it is one call; below, torch's products do as well."""


class Mixed(NamedTuple):
    """What else gives probability to the targets: p(y) = e^own softmax(W f + b)_y + e^other."""

    own_N: Tensor
    """Log of the softmax's share of all probability."""
    other_N: Tensor
    """Log of what the target has from elsewhere; finite."""


def linear_cross_entropy(
    features_NF: Tensor,
    weight_VF: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    *,
    smoothing: float = 0.0,
    mixed: Mixed | None = None,
) -> tuple[Tensor, Tensor]:
    """Sums over rows of the smoothed loss and of the negative log-likelihood, p = softmax(W f + b) unless `mixed`.

    total = (1 - e) nll - e mean_v log p_v (Szegedy et al. 2016), mixed: p_v = e^own softmax(W f + b)_v in the mean.
    Only `total` has a gradient, and only a first one.
    Products take the dtype of autocast where it is on; sums and exponentials are float32 (float64 for float64 input).

    Args:
        features_NF: (N, F).
        weight_VF, bias_V: the output layer.
        target_N: token ids; if mixed, those from V on have no probability but the other one.
        smoothing: e, the share spread evenly over all V tokens.
        mixed: the softmax is only a part of p.

    Returns:
        total and nll, scalars.
    """
    device = features_NF.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features_NF.dtype
    parts = (None, None) if mixed is None else mixed
    with torch.autocast(device, enabled=False):
        total, nll = _LinearCrossEntropy.apply(features_NF, weight_VF, bias_V, target_N, *parts, smoothing, low)  # type: ignore[no-untyped-call]
    return total, nll


class _LinearCrossEntropy(torch.autograd.Function):
    """With g = softmax(z) - (1 - e) onehot(y) - e / V of a chunk: dF = g W, dW += g^T F, db += sum g.

    Mixed, with r the softmax's part of p(y): g = ((1 - e) r + e) softmax(z) - (1 - e) r onehot(y) - e / V,
    d own = -(1 - e) r - e, d other = -(1 - e) (1 - r).
    """

    @staticmethod
    def forward(
        ctx: Any,
        features_NF: Tensor,
        weight_VF: Tensor,
        bias_V: Tensor,
        target_N: Tensor,
        own_N: Tensor | None,
        other_N: Tensor | None,
        smoothing: float,
        low: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        mixed = None if own_N is None or other_N is None else Mixed(own_N, other_N)
        if mixed is None and _whole(features_NF, weight_VF, bias_V, low):
            found, d_mixed = _in_one_call(features_NF.to(low), weight_VF, bias_V, target_N, smoothing), None
        else:
            found, d_mixed = _in_chunks(features_NF, weight_VF, bias_V, target_N, mixed, smoothing, low)
        parts = (None, None) if d_mixed is None else d_mixed
        ctx.save_for_backward(
            found.d_features_NF.to(features_NF.dtype),
            found.d_weight_VF.to(weight_VF.dtype),
            found.d_bias_V.to(bias_V.dtype),
            *parts,
        )
        ctx.mark_non_differentiable(found.nll)
        return found.total, found.nll

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        d_features, d_weight, d_bias, *d_mixed = ctx.saved_tensors
        mixed = (None if part is None else part * d_total for part in d_mixed)
        return d_features * d_total, d_weight * d_total, d_bias * d_total, None, *mixed, None, None


class _Found(NamedTuple):
    """Sums over rows, and their gradients."""

    total: Tensor
    nll: Tensor
    d_features_NF: Tensor
    d_weight_VF: Tensor
    d_bias_V: Tensor


def _in_one_call(features_NF: Tensor, weight_VF: Tensor, bias_V: Tensor, target_N: Tensor, smoothing: float) -> _Found:
    rows = output.output_layer(
        features_NF.contiguous(),
        weight_VF.contiguous(),
        bias_V.contiguous(),
        target_N.contiguous(),
        smoothing=smoothing,
        eight=switchback.on(),
    )
    nll = rows.nll_N.sum()
    total = (1.0 - smoothing) * nll + smoothing * rows.spread_N.sum()
    return _Found(total, nll, rows.d_features_NF, rows.d_weight_VF, rows.d_bias_V)


def _in_chunks(
    features_NF: Tensor,
    weight_VF: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    mixed: Mixed | None,
    smoothing: float,
    low: torch.dtype,
) -> tuple[_Found, Mixed | None]:
    """And the gradients of the mixture."""
    exact = torch.float64 if features_NF.dtype == torch.float64 else torch.float32
    weight, bias, features = weight_VF.to(low), bias_V.to(exact), features_NF.to(low)
    d_features = torch.empty_like(features)
    d_weight = torch.zeros(weight.shape, dtype=exact, device=weight.device)
    d_bias = torch.zeros_like(bias)
    d_mixed = None if mixed is None else Mixed(*map(torch.empty_like, mixed))
    total, nll = bias.new_zeros(()), bias.new_zeros(())
    most = BYTES if weight.device.type == "cpu" else BYTES_ON_A_GPU
    rows = max(1, most // (weight.shape[0] * weight.element_size()))
    fast = mixed is None and _compiled(bias.device, low)
    for start in range(0, len(features), rows):
        chunk = slice(start, start + rows)
        f_CF, y_C = features[chunk], target_N[chunk]
        z_CV = torch.mm(f_CF, weight.t())
        if fast:
            found = softmax_rows(z_CV, bias, y_C.contiguous(), d_bias, smoothing=smoothing)
            lost, even, g_CV = found.nll_C.sum(), found.spread_C.sum(), z_CV
        else:
            part, d_part = _at(mixed, chunk), _at(d_mixed, chunk)
            lost, even, g_exact_CV = _gradient(z_CV.to(exact).add_(bias), y_C, part, d_part, smoothing)
            d_bias += g_exact_CV.sum(0)
            g_CV = g_exact_CV.to(low)
        nll += lost
        total += (1.0 - smoothing) * lost + smoothing * even
        torch.mm(g_CV, weight, out=d_features[chunk])
        d_weight += torch.mm(g_CV.t(), f_CF)
    return _Found(total, nll, d_features, d_weight, d_bias), d_mixed


def _whole(features_NF: Tensor, weight_VF: Tensor, bias_V: Tensor, low: torch.dtype) -> bool:
    """Whether products and all are one call into C++. Tables of a few tokens would be padding for the most part."""
    kinds = low == torch.bfloat16 and weight_VF.dtype == bias_V.dtype == torch.float32
    return (
        kinds
        and features_NF.device.type == "cpu"
        and len(weight_VF) >= LEAST
        and multiplies_pairs()
        and not_built("output") is None
    )


def _compiled(device: torch.device, low: torch.dtype) -> bool:
    """Whether rows are worked on in C++: one pass through the cache instead of ten."""
    return device.type == "cpu" and low in NAMES and not_built("softmax") is None


def _at(mixed: Mixed | None, chunk: slice) -> Mixed | None:
    return None if mixed is None else Mixed(mixed.own_N[chunk], mixed.other_N[chunk])


def _gradient(
    z_CV: Tensor, target_C: Tensor, mixed: Mixed | None, d_mixed: Mixed | None, smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over rows of the negative log-likelihood and of its mean over all tokens; the gradient, in place of z."""
    vocabulary = z_CV.shape[1]
    y_C1 = target_C.unsqueeze(1)
    z_CV -= z_CV.amax(1, keepdim=True)
    place_C1 = y_C1 if mixed is None else y_C1.clamp(max=vocabulary - 1)
    z_C1, everything = z_CV.gather(1, place_C1), z_CV.sum()
    e_CV = z_CV.exp_()
    sum_C1 = e_CV.sum(1, keepdim=True)
    norm_C1 = sum_C1.log()
    lost, even = (norm_C1 - z_C1).sum(), norm_C1.sum() - everything / vocabulary
    g_CV = e_CV.div_(sum_C1)
    pull_C1 = torch.full_like(sum_C1, smoothing - 1.0)
    if mixed is not None and d_mixed is not None:
        inside_C1 = (z_C1 - norm_C1).masked_fill_(y_C1 >= vocabulary, -torch.inf)
        log_p_C, share_C, rest_C = _shares(mixed.own_N + inside_C1.squeeze(1), mixed.other_N)
        lost, even = -log_p_C.sum(), even - mixed.own_N.sum()
        pull_C1 *= share_C.unsqueeze(1)
        g_CV *= smoothing - pull_C1
        d_mixed.own_N.copy_(pull_C1.squeeze(1) - smoothing)
        d_mixed.other_N.copy_((smoothing - 1.0) * rest_C)
    if smoothing:
        g_CV -= smoothing / vocabulary
    g_CV.scatter_add_(1, place_C1, pull_C1)
    return lost, even, g_CV


def _shares(inside_C: Tensor, other_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log(e^inside + e^other), and the part of it that each of the two has."""
    log_p_C = torch.logaddexp(inside_C, other_C)
    return log_p_C, (inside_C - log_p_C).exp(), (other_C - log_p_C).exp()
