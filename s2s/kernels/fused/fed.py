"""A recurrent decoder that feeds its attention back, under teacher forcing: one function, a hand-derived backward.

Shapes: B batch, T target positions, I input, G gates (3 H of the GRU, 4 H of the LSTM), H hidden, A attention width,
S source positions, E width of the values, F features, K what the readout reads (E + H), U what is fed (F or E).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s.kernels import dense
from s2s.kernels.fused.fed_contract import Gradients, Kept, Loops, Source, Upstream, Weights
from s2s.kernels.fused.fed_steps import PLAIN
from s2s.kernels.fused.products import no_autocast, product_dtype, product_with_previous
from s2s.kernels.protocol import State


class _Fed(torch.autograd.Function):
    """What surrounds the loops: products over all steps, and what is saved."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BTI: Tensor,
        weight_ih: Tensor,
        bias_G: Tensor,
        read_BTF: Tensor | None,
        h_BH: Tensor,
        c_BH: Tensor | None,
        previous: bool,
        loops: Loops,
        *parts: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        weights, source = Weights(*parts[:6]), Source(*parts[6:])  # type: ignore[arg-type]
        state = (h_BH,) if c_BH is None else (h_BH, c_BH)
        gates_BTG = loops.input.project(x_BTI, weight_ih, bias_G)
        read_BTF = None if read_BTF is None else read_BTF.clone(memory_format=torch.contiguous_format)
        kept = loops.forward(gates_BTG, read_BTF, state, weights, source, previous=previous)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_BTI, weight_ih, h_BH, c_BH, *parts, *kept)
        ctx.previous, ctx.loops = previous, loops
        return kept.h_BTH, kept.context_BTE, kept.features_BTF, kept.weights_BTS

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, weight_ih, h_BH, c_BH, *rest = ctx.saved_tensors
        weights, source, kept = Weights(*rest[:6]), Source(*rest[6:9]), Kept(*rest[9:])
        state = (h_BH,) if c_BH is None else (h_BH, c_BH)
        given = Upstream(*(None if part is None else part.contiguous() for part in upstream))
        with no_autocast(x_BTI):
            out = ctx.loops.backward(kept, state, weights, source, given, previous=ctx.previous)
            needs_x = ctx.needs_input_grad[0]
            dx_BTI, dweight_ih = ctx.loops.input.backward(out.dgates_BTG, x_BTI, weight_ih, needs_x=needs_x)
            dbias_G = out.dgates_BTG.sum((0, 1), dtype=h_BH.dtype)
            dweights = _of_weights(kept, out, weights, h_BH, previous=ctx.previous)
            dsource = _of_source(kept, out)
        dstate = (*out.dstate, None)[:2]
        return dx_BTI, dweight_ih, dbias_G, out.dread_BTF, *dstate, None, None, *dweights, *dsource, None


def _of_weights(kept: Kept, out: Gradients, weights: Weights, first_BH: Tensor, *, previous: bool) -> Weights:
    """Each a product over all rows and steps."""
    hidden, h_BTH, context_BTE = first_BH.shape[1], kept.h_BTH, kept.context_BTE
    recurrent = [out.dgates_BTG] if out.dun_BTH is None else [out.dgates_BTG[:, :, : 2 * hidden], out.dun_BTH]
    fed_BTU = context_BTE if kept.features_BTF is None else kept.features_BTF
    at_first_BU = None if previous else torch.zeros_like(fed_BTU[:, 0])
    asking, reading = weights.query_AH is not None, out.dread_BTF
    return Weights(
        torch.cat([_product(part, h_BTH, first_BH) for part in recurrent]),
        _product(out.dgates_BTG, fed_BTU, at_first_BU),
        None if out.dun_BTH is None else out.dun_BTH.sum((0, 1), dtype=first_BH.dtype),
        _product(out.dquery_BTA, h_BTH, first_BH if previous else None) if asking else None,
        out.denergy_A,
        None if reading is None else torch.cat([_product(reading, part, None) for part in (context_BTE, h_BTH)], 1),
    )


def _product(d_BTX: Tensor, read_BTY: Tensor, first_BY: Tensor | None) -> Tensor:
    """sum_t d_t^T y_t, (X, Y); with a first y, of the steps before: sum_t d_t^T y_{t-1}."""
    if first_BY is not None:
        return product_with_previous(d_BTX, read_BTY, first_BY)
    return dense.over_rows(d_BTX.flatten(0, 1), read_BTY.flatten(0, 1))


def _of_source(kept: Kept, out: Gradients) -> tuple[Tensor, Tensor]:
    """dK and dV, products over each sentence's steps where they are no sums of the loop."""
    dtype = kept.context_BTE.dtype
    dvalues_BSE = dense.each_over_rows(kept.weights_BTS.to(dtype), out.dcontext_BTE)
    if out.dkeys_BSA is not None:
        return out.dkeys_BSA.to(dtype), dvalues_BSE
    return dense.each_over_rows(out.dscores_BTS.to(dtype), kept.query_BTA), dvalues_BSE


class Decoded(NamedTuple):
    """Of all steps; in the dtype of the products, the attention weights in that of the state."""

    h_BTH: Tensor
    context_BTE: Tensor
    features_BTF: Tensor | None
    weights_BTS: Tensor


def scan(
    x_BTI: Tensor,
    state: State,
    cell: State,
    source: Source,
    /,
    *,
    feeding_GU: Tensor,
    query_AH: Tensor | None,
    energy_A: Tensor | None,
    reading_FK: Tensor | None,
    read_BTF: Tensor | None,
    previous: bool,
    loops: Loops = PLAIN,
) -> Decoded:
    """g_t = W x_t + b + W_f u;  h_t = cell(g_t, h_{t-1});  q_t = W_q h;  a_t = softmax_j v . tanh(q_t + k_j), or of
    q_t . k_j;  c_t = sum_j a_tj v_j;  f_t = tanh(W_r [c_t; h_t] + read_t).

    Asking with the state after the step, u = f_{t-1}, or c_{t-1} where nothing is read, and 0 at first (Luong, Pham and
    Manning 2015, section 3.3); asking with the one before it (`previous`), u = c_t (Bahdanau, Cho and Bengio 2015).

    Args:
        x_BTI: (B, T, I).
        state: (h,) of a GRU (reset after the product), (h, c) of an LSTM, (B, H) each.
        cell: (weight_ih (G, I), weight_hh (G, H), bias_ih (G), bias_hh (G)).
        source: one sentence a row.
        feeding_GU: W_f.
        query_AH: W_q; None: the state itself asks.
        energy_A: v; None: the score is q . k.
        reading_FK: W_r; None: nothing is read here, and the context is fed.
        read_BTF: what enters the features besides c and h, where they are read.
        previous: the state before the step asks. Then nothing is read here.
        loops: the engine.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = cell
    dtype, fixed = product_dtype(weight_ih), 2 * weight_hh.shape[1]
    h_BH, *c = state
    scaled = None if c else bias_hh[fixed:]
    added_G = bias_hh if scaled is None else F.pad(bias_hh[:fixed], (0, len(scaled)))
    parts = (weight_hh, feeding_GU, scaled, query_AH, energy_A, reading_FK, *source)
    with no_autocast(x_BTI):
        outputs = _Fed.apply(  # type: ignore[no-untyped-call]
            x_BTI.to(dtype).contiguous(),
            weight_ih.to(dtype),
            bias_ih + added_G,
            _narrow(read_BTF, dtype),
            h_BH.contiguous(),
            c[0].contiguous() if c else None,
            previous,
            loops,
            *(_narrow(part, dtype) for part in parts),
        )
    return Decoded(*outputs)


def _narrow(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Matrices and what is like them in the dtype of the products; vectors and masks as they are."""
    if tensor is None or tensor.dim() < 2 or tensor.dtype == torch.bool:
        return tensor if tensor is None else tensor.contiguous()
    return tensor.to(dtype).contiguous()


__all__ = ["PLAIN", "Decoded", "Loops", "Source", "scan"]
