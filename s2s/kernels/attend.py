"""Attention where nothing is learned: scores, softmax and the average of the values in one reading of each sentence.

Shapes: R queries, those of a sentence together, B sentences, S positions, A width of queries and keys, E of values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import call


def serves(*tensors: Tensor | None) -> bool:
    """Whether `attend` takes these: float32 on the CPU, and no gradient is asked for."""
    given = [tensor for tensor in tensors if tensor is not None]
    return (
        all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in given)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given))
        and not torch.is_autocast_enabled("cpu")
        and not_built("attend") is None
    )


def attend(
    query_RA: Tensor, keys_BSA: Tensor, values_BSE: Tensor, mask_BS: Tensor, energy_A: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Contexts (R, E) and weights (R, S): softmax over the unmasked positions of q . k, or of v . tanh(q + k) where
    there is an energy v; equal weights where all positions are masked."""
    sentences, positions, width = keys_BSA.shape
    context_RE = query_RA.new_empty(len(query_RA), values_BSE.shape[2])
    weights_RS = query_RA.new_empty(len(query_RA), positions)
    tensors = [
        None if tensor is None else tensor.detach().contiguous()
        for tensor in (query_RA, keys_BSA, values_BSE, mask_BS, energy_A)
    ]
    sizes = (len(query_RA), sentences, positions, width, values_BSE.shape[2])
    call("attend", "attend", sizes, None, *tensors, context_RE, weights_RS)
    return context_RE, weights_RS
