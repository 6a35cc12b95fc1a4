"""Rows of logits into their cross-entropies and gradients in C++.

Shapes: C rows, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call


class Rows(NamedTuple):
    """Of each row, with x = z + b."""

    nll_C: Tensor
    """log sum e^x - x_y."""
    spread_C: Tensor
    """log sum e^x - mean x: the negative log-likelihood, in the mean over all tokens."""


def softmax_rows(z_CV: Tensor, bias_V: Tensor, target_C: Tensor, d_bias_V: Tensor, *, smoothing: float) -> Rows:
    """z <- softmax(z + b) - (1 - e) onehot(y) - e / V in its place; the sum over rows is added to `d_bias_V`."""
    rows = Rows(bias_V.new_empty(len(z_CV)), bias_V.new_empty(len(z_CV)))
    share = torch.tensor(smoothing, dtype=bias_V.dtype)
    call("softmax", "softmax_rows", tuple(z_CV.shape), None, z_CV, bias_V, target_C, share, d_bias_V, *rows)
    return rows
