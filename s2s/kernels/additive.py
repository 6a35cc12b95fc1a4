"""Additive attention for learning: a_tj = softmax_j v . tanh(q_t + k_j), c_t = sum_j a_tj h_j, and its gradients.

In torch's own operations tanh(q + k) of all pairs of positions is written, kept and read again; here it is made again
in the backward (`compiled/source/additive.cpp`). Bahdanau, Cho and Bengio 2015, appendix A.1.2.

Shapes: B sentences, T queries of each, S positions, A width of queries and keys, E of values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s.kernels import dense
from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import NAMES, call
from s2s.kernels.fused.products import no_autocast


def learns_here(query_BTQ: Tensor, keys_BSA: Tensor, values_BSE: Tensor) -> bool:
    """Whether `attend` takes what comes of these: on the CPU, under gradients, in a dtype that is compiled."""
    given = (query_BTQ, keys_BSA, values_BSE)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query_BTQ.dtype
    return (
        torch.is_grad_enabled()
        and dtype in NAMES
        and all(part.device.type == "cpu" and part.dtype in NAMES and part.numel() > 0 for part in given)
        and not_built("additive") is None
    )


def attend(
    query_BTA: Tensor, keys_BSA: Tensor, values_BSE: Tensor, mask_BS: Tensor, energy_A: Tensor
) -> tuple[Tensor, Tensor]:
    """Contexts (B, T, E) in the dtype of the queries, and weights (B, T, S) in that of v; padding gets no weight, and
    where all is padding all get the same."""
    dtype = query_BTA.dtype
    exact = torch.promote_types(dtype, torch.float32)
    given = (query_BTA.contiguous(), keys_BSA.to(dtype).contiguous(), values_BSE.to(dtype).contiguous())
    with no_autocast(query_BTA):
        return _Additive.apply(*given, mask_BS.contiguous(), energy_A.to(exact).contiguous())  # type: ignore[no-any-return, no-untyped-call]


class _Additive(torch.autograd.Function):
    """d s_tj = a_tj (d a_tj - sum_i a_ti d a_ti) with d a_tj = h_j . d c_t; d q_t, d k_j = d s_tj v (1 - tanh^2)."""

    @staticmethod
    def forward(
        ctx: Any, query_BTA: Tensor, keys_BSA: Tensor, values_BSE: Tensor, mask_BS: Tensor, energy_A: Tensor
    ) -> tuple[Tensor, Tensor]:
        context_BTE = query_BTA.new_empty(*query_BTA.shape[:2], values_BSE.shape[2])
        weights_BTS = energy_A.new_empty(*query_BTA.shape[:2], keys_BSA.shape[1])
        given = (query_BTA, keys_BSA, values_BSE, mask_BS, energy_A)
        call("additive", "additive_forward", _sizes(query_BTA, values_BSE), None, *given, context_BTE, weights_BTS)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, weights_BTS)
        return context_BTE, weights_BTS

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dcontext_BTE: Tensor | None, dweights_BTS: Tensor | None) -> tuple[Tensor | None, ...]:
        query_BTA, keys_BSA, values_BSE, mask_BS, energy_A, weights_BTS = ctx.saved_tensors
        if dcontext_BTE is None:
            dcontext_BTE = query_BTA.new_zeros(*query_BTA.shape[:2], values_BSE.shape[2])
        dcontext_BTE = dcontext_BTE.contiguous()
        dweights_BTS = None if dweights_BTS is None else dweights_BTS.contiguous()
        out = (torch.empty_like(query_BTA), torch.empty_like(keys_BSA), torch.empty_like(energy_A))
        given = (query_BTA, keys_BSA, values_BSE, mask_BS, energy_A, weights_BTS, dcontext_BTE, dweights_BTS)
        call("additive", "additive_backward", _sizes(query_BTA, values_BSE), None, *given, *out)
        dquery_BTA, dkeys_BSA, denergy_A = out
        with no_autocast(query_BTA):
            dvalues_BSE = dense.each_over_rows(weights_BTS.to(dcontext_BTE.dtype), dcontext_BTE)
        return dquery_BTA, dkeys_BSA, dvalues_BSE, None, denergy_A


def _sizes(query_BTA: Tensor, values_BSE: Tensor) -> tuple[int, ...]:
    batch, queries, width = query_BTA.shape
    return batch, queries, *values_BSE.shape[1:2], width, values_BSE.shape[2]
