"""The output layer and its cross-entropy as one call into C++, forward and backward at once.

Shapes: N positions, F features, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.kernels.compiled.call import call


class Found(NamedTuple):
    """All float32."""

    nll_N: Tensor
    """log sum e^x - x_y, with x = W f + b."""
    spread_N: Tensor
    """log sum e^x - mean x."""
    d_features_NF: Tensor
    d_weight_VF: Tensor
    d_bias_V: Tensor


def output_layer(
    features_NF: Tensor, weight_VF: Tensor, bias_V: Tensor, target_N: Tensor, *, smoothing: float, eight: bool
) -> Found:
    """Of the features in bfloat16; the weight is rounded to it; `eight`: products are in 8 bits."""
    (rows, width), vocabulary = features_NF.shape, len(weight_VF)
    found = Found(
        bias_V.new_empty(rows),
        bias_V.new_empty(rows),
        bias_V.new_empty(rows, width),
        weight_VF.new_empty(weight_VF.shape) if rows else torch.zeros_like(weight_VF),
        torch.zeros_like(bias_V) if not rows else bias_V.new_empty(vocabulary),
    )
    inputs = (features_NF, weight_VF, bias_V, target_N, torch.tensor(smoothing))
    outputs = (found.d_features_NF, found.d_weight_VF, found.d_bias_V, found.nll_N, found.spread_N)
    call(
        "output", "output_layer_eight" if eight else "output_layer", (rows, width, vocabulary), None, *inputs, *outputs
    )
    return found
