"""A recurrent decoder that feeds its attention back, under teacher forcing: one function, a hand-derived backward.

Shapes: B batch, T target positions, I input, G gates (3 H of the GRU, 4 H of the LSTM), H hidden, A attention width,
S source positions, E width of the values, F features, K what the readout reads (E + H), U what is fed (F or E).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s.kernels import dense
from s2s.kernels.fused.products import (
    INPUT,
    Input,
    add_product,
    no_autocast,
    product_dtype,
    product_with_previous,
    sigmoid_slope,
)
from s2s.kernels.protocol import State

MASKED = -1e9
"""Score of padding: finite, so that a source without a single token gives no NaN."""


class Weights(NamedTuple):
    """What a step multiplies by: matrices in the dtype of the products, vectors in that of the state."""

    recurrent_GH: Tensor
    feeding_GU: Tensor
    bias_n_H: Tensor | None
    """b'_n, which a GRU's reset scales; None means an LSTM."""
    query_AH: Tensor | None
    """None: the state itself asks."""
    energy_A: Tensor | None
    """v of the additive score; None: the score is q . k."""
    reading_FK: Tensor | None
    """What makes f_t of [c_t; h_t]; None: the context is fed, and nothing is read in the loop."""


class Source(NamedTuple):
    """What is attended to, in the dtype of the products; the mask is true where it may be."""

    keys_BSA: Tensor
    values_BSE: Tensor
    mask_BS: Tensor


class Kept(NamedTuple):
    """What the forward leaves: in the dtype of the products, the attention weights in that of the state."""

    gates_BTG: Tensor
    inner_BTH: Tensor
    """U_n h_{t-1} + b'_n of the GRU, c_t of the LSTM."""
    h_BTH: Tensor
    query_BTA: Tensor
    context_BTE: Tensor
    features_BTF: Tensor | None
    weights_BTS: Tensor


class Upstream(NamedTuple):
    """The gradients that arrive from outside of the recurrence; None where none do."""

    dh_BTH: Tensor | None
    dcontext_BTE: Tensor | None
    dfeatures_BTF: Tensor | None
    dweights_BTS: Tensor | None


class Gradients(NamedTuple):
    """What the backward leaves: of what entered each step, for one product over all steps a weight."""

    dgates_BTG: Tensor
    dun_BTH: Tensor | None
    """Of U_n h_{t-1} + b'_n."""
    dread_BTF: Tensor | None
    """Of what stands in the tanh of the features."""
    dquery_BTA: Tensor
    dcontext_BTE: Tensor
    dscores_BTS: Tensor
    """In the dtype of the state, as the three below."""
    dkeys_BSA: Tensor | None
    """Of the additive score, whose gradient is no product."""
    denergy_A: Tensor | None
    dstate: State


class Forward(Protocol):
    """In place the gates become what sigmoid and tanh give, and what enters the features the features."""

    def __call__(
        self,
        gates_BTG: Tensor,
        read_BTF: Tensor | None,
        state: State,
        weights: Weights,
        source: Source,
        /,
        *,
        previous: bool,
    ) -> Kept: ...


class Backward(Protocol):
    """What the forward took and left, and what arrives, to the gradients."""

    def __call__(
        self, kept: Kept, state: State, weights: Weights, source: Source, upstream: Upstream, /, *, previous: bool
    ) -> Gradients: ...


class Loops(NamedTuple):
    """Both loops over time, and the product before them."""

    forward: Forward
    backward: Backward
    input: Input = INPUT


def room(gates_BTG: Tensor, read_BTF: Tensor | None, state: State, weights: Weights, source: Source) -> Kept:
    """Where a forward loop writes."""
    batch, time, _ = gates_BTG.shape
    sizes = (weights.recurrent_GH.shape[1],) * 2 + (source.keys_BSA.shape[2], source.values_BSE.shape[2])
    inner, h, query, context = (gates_BTG.new_empty(batch, time, size) for size in sizes)
    return Kept(
        gates_BTG, inner, h, query, context, read_BTF, state[0].new_empty(batch, time, source.mask_BS.shape[1])
    )


def _forward(
    gates_BTG: Tensor,
    read_BTF: Tensor | None,
    state: State,
    weights: Weights,
    source: Source,
    /,
    *,
    previous: bool,
) -> Kept:
    kept = room(gates_BTG, read_BTF, state, weights, source)
    wide = _in_dtype_of(state[0], source)
    fed_BU = state[0].new_zeros(len(gates_BTG), weights.feeding_GU.shape[1])
    for t in range(gates_BTG.shape[1]):
        if previous:
            fed_BU = _look(kept, t, state[0], weights, wide)
        state = _step(kept, t, fed_BU, state, weights)
        kept.h_BTH[:, t] = state[0]
        if not previous:
            fed_BU = _look(kept, t, state[0], weights, wide)
        if kept.features_BTF is not None and weights.reading_FK is not None:
            joined_BK = torch.cat([fed_BU, state[0]], 1)
            fed_BU = add_product(kept.features_BTF[:, t], joined_BK, weights.reading_FK).tanh_()
            kept.features_BTF[:, t] = fed_BU
    return kept


def _in_dtype_of(like: Tensor, source: Source) -> Source:
    return Source(source.keys_BSA.to(like.dtype), source.values_BSE.to(like.dtype), source.mask_BS)


def _step(kept: Kept, t: int, fed_BU: Tensor, state: State, weights: Weights) -> State:
    """The recurrence; keeps the gates and what is inside."""
    h_BH, (hidden, gates_BG) = state[0], (state[0].shape[1], kept.gates_BTG[:, t])
    fed_BG = add_product(gates_BG, fed_BU, weights.feeding_GU)
    recurrent_BG = torch.mm(h_BH.to(weights.recurrent_GH.dtype), weights.recurrent_GH.t()).to(h_BH.dtype)
    if weights.bias_n_H is None:
        i_BH, f_BH, g_BH, o_BH = fed_BG.add_(recurrent_BG).chunk(4, 1)
        c_BH = torch.addcmul(f_BH.sigmoid_() * state[1], i_BH.sigmoid_(), g_BH.tanh_())
        gates_BG.copy_(torch.cat([i_BH, f_BH, g_BH, o_BH.sigmoid_()], 1))
        kept.inner_BTH[:, t] = c_BH
        return o_BH * c_BH.tanh(), c_BH
    un_BH = recurrent_BG[:, 2 * hidden :].add_(weights.bias_n_H)
    r_BH, z_BH = (fed_BG[:, : 2 * hidden] + recurrent_BG[:, : 2 * hidden]).sigmoid_().chunk(2, 1)
    n_BH = torch.addcmul(fed_BG[:, 2 * hidden :], r_BH, un_BH).tanh_()
    gates_BG.copy_(torch.cat([r_BH, z_BH, n_BH], 1))
    kept.inner_BTH[:, t] = un_BH
    return (torch.lerp(n_BH, h_BH, z_BH),)


def _look(kept: Kept, t: int, h_BH: Tensor, weights: Weights, source: Source) -> Tensor:
    """The context that this state asks for; keeps question, weights and context."""
    asked = h_BH if weights.query_AH is None else torch.mm(h_BH.to(weights.query_AH.dtype), weights.query_AH.t())
    kept.query_BTA[:, t] = asked
    query_BA = kept.query_BTA[:, t].to(h_BH.dtype)
    if weights.energy_A is None:
        scores_BS = torch.bmm(source.keys_BSA, query_BA.unsqueeze(2)).squeeze(2)
    else:
        scores_BS = (query_BA.unsqueeze(1) + source.keys_BSA).tanh() @ weights.energy_A
    weights_BS = scores_BS.masked_fill(~source.mask_BS, MASKED).softmax(1)
    context_BE = torch.bmm(weights_BS.unsqueeze(1), source.values_BSE).squeeze(1)
    kept.weights_BTS[:, t], kept.context_BTE[:, t] = weights_BS, context_BE
    return context_BE


def results(kept: Kept, state: State, weights: Weights, source: Source) -> Gradients:
    """Where a backward loop writes; what it adds up is zero."""
    keys, energy_A, features_BTF = source.keys_BSA, weights.energy_A, kept.features_BTF
    return Gradients(
        torch.empty_like(kept.gates_BTG),
        None if weights.bias_n_H is None else torch.empty_like(kept.inner_BTH),
        None if features_BTF is None else torch.empty_like(features_BTF),
        torch.empty_like(kept.query_BTA),
        torch.empty_like(kept.context_BTE),
        torch.empty_like(kept.weights_BTS),
        None if energy_A is None else torch.zeros_like(keys, dtype=state[0].dtype),
        None if energy_A is None else torch.zeros_like(energy_A),
        tuple(torch.zeros_like(part) for part in state),
    )


def _backward(
    kept: Kept, state: State, weights: Weights, source: Source, upstream: Upstream, /, *, previous: bool
) -> Gradients:
    out = results(kept, state, weights, source)
    wide = _in_dtype_of(state[0], source)
    dstate = out.dstate
    dfed_BU = state[0].new_zeros(len(state[0]), weights.feeding_GU.shape[1])
    for t in reversed(range(kept.gates_BTG.shape[1])):
        if not previous:
            dstate = (dstate[0] + _looked(kept, out, t, dfed_BU, weights, wide, upstream), *dstate[1:])
        if upstream.dh_BTH is not None:
            dstate = (dstate[0] + upstream.dh_BTH[:, t], *dstate[1:])
        dstate = _stepped(kept, out, t, dstate, state, weights)
        dfed_BU = torch.mm(out.dgates_BTG[:, t], weights.feeding_GU).to(dfed_BU.dtype)
        if previous:
            dstate = (dstate[0] + _looked(kept, out, t, dfed_BU, weights, wide, upstream), *dstate[1:])
    return out._replace(dstate=dstate)


def _stepped(kept: Kept, out: Gradients, t: int, dstate: State, first: State, weights: Weights) -> State:
    """The gradients of the gates, and of the state before this step through the recurrence."""
    (dh_BH, *dc), dtype = dstate, dstate[0].dtype
    inner_BH, gates_BG = kept.inner_BTH[:, t].to(dtype), kept.gates_BTG[:, t].to(dtype)
    if weights.bias_n_H is None:
        i_BH, f_BH, g_BH, o_BH = gates_BG.chunk(4, 1)
        before_BH, tanh_BH = kept.inner_BTH[:, t - 1].to(dtype) if t else first[1], inner_BH.tanh()
        do_BH = dh_BH * tanh_BH * sigmoid_slope(o_BH)
        dc_BH = torch.addcmul(dc[0], dh_BH * o_BH, 1 - tanh_BH * tanh_BH)
        di_BH, df_BH = dc_BH * g_BH * sigmoid_slope(i_BH), dc_BH * before_BH * sigmoid_slope(f_BH)
        torch.cat([di_BH, df_BH, dc_BH * i_BH * (1 - g_BH * g_BH), do_BH], 1, out=out.dgates_BTG[:, t])
        return torch.mm(out.dgates_BTG[:, t], weights.recurrent_GH).to(dtype), dc_BH * f_BH
    r_BH, z_BH, n_BH = gates_BG.chunk(3, 1)
    before_BH = kept.h_BTH[:, t - 1].to(dtype) if t else first[0]
    dn_BH = dh_BH * (1 - z_BH) * (1 - n_BH * n_BH)
    dz_BH = dh_BH * (before_BH - n_BH) * sigmoid_slope(z_BH)
    dr_BH, dun_BH = dn_BH * inner_BH * sigmoid_slope(r_BH), dn_BH * r_BH
    torch.cat([dr_BH, dz_BH, dn_BH], 1, out=out.dgates_BTG[:, t])
    assert out.dun_BTH is not None
    out.dun_BTH[:, t] = dun_BH
    du_BG = torch.cat([dr_BH, dz_BH, dun_BH], 1).to(weights.recurrent_GH.dtype)
    return (torch.addcmul(torch.mm(du_BG, weights.recurrent_GH).to(dtype), dh_BH, z_BH),)


def _looked(
    kept: Kept, out: Gradients, t: int, dfed_BU: Tensor, weights: Weights, source: Source, upstream: Upstream
) -> Tensor:
    """dh of the state that asked, from what became of its context."""
    dtype, width = dfed_BU.dtype, kept.context_BTE.shape[2]
    dcontext_BE, dh = dfed_BU, 0.0
    if kept.features_BTF is not None and weights.reading_FK is not None and out.dread_BTF is not None:
        features_BF = kept.features_BTF[:, t].to(dtype)
        dfeatures_BF = dfed_BU if upstream.dfeatures_BTF is None else dfed_BU + upstream.dfeatures_BTF[:, t]
        out.dread_BTF[:, t] = dfeatures_BF * (1 - features_BF * features_BF)
        dcontext_BE, dh = torch.mm(out.dread_BTF[:, t], weights.reading_FK).to(dtype).tensor_split((width,), 1)
    if upstream.dcontext_BTE is not None:
        dcontext_BE = dcontext_BE + upstream.dcontext_BTE[:, t]
    out.dcontext_BTE[:, t] = dcontext_BE
    dweights_BS = torch.bmm(source.values_BSE, dcontext_BE.unsqueeze(2)).squeeze(2)
    if upstream.dweights_BTS is not None:
        dweights_BS = dweights_BS + upstream.dweights_BTS[:, t]
    weights_BS = kept.weights_BTS[:, t]
    dscores_BS = weights_BS * (dweights_BS - (weights_BS * dweights_BS).sum(1, keepdim=True))
    dscores_BS = dscores_BS.masked_fill(~source.mask_BS, 0.0)
    out.dscores_BTS[:, t] = dscores_BS
    dquery_BA = _asked(kept.query_BTA[:, t].to(dtype), dscores_BS, out, weights, source)
    out.dquery_BTA[:, t] = dquery_BA
    return dh + (dquery_BA if weights.query_AH is None else torch.mm(out.dquery_BTA[:, t], weights.query_AH).to(dtype))


def _asked(query_BA: Tensor, dscores_BS: Tensor, out: Gradients, weights: Weights, source: Source) -> Tensor:
    """The query's gradient; adds up what the additive score gives to keys and energy."""
    if weights.energy_A is None or out.dkeys_BSA is None or out.denergy_A is None:
        return torch.bmm(dscores_BS.unsqueeze(1), source.keys_BSA).squeeze(1)
    tanh_BSA = (query_BA.unsqueeze(1) + source.keys_BSA).tanh()
    out.denergy_A.add_(torch.mv(tanh_BSA.flatten(0, 1).t(), dscores_BS.flatten()))
    dsum_BSA = (1 - tanh_BSA * tanh_BSA) * weights.energy_A * dscores_BS.unsqueeze(2)
    out.dkeys_BSA.add_(dsum_BSA)
    return dsum_BSA.sum(1)


PLAIN = Loops(_forward, _backward)


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
    hidden, dgates_NG, h_NH = first_BH.shape[1], out.dgates_BTG.flatten(0, 1), kept.h_BTH.flatten(0, 1)
    recurrent = [out.dgates_BTG] if out.dun_BTH is None else [out.dgates_BTG[:, :, : 2 * hidden], out.dun_BTH]
    drecurrent_GH = torch.cat([product_with_previous(part, kept.h_BTH, first_BH) for part in recurrent])
    context_NE = kept.context_BTE.flatten(0, 1)
    dquery_AH, dreading_FK = None, None
    if previous:
        dfeeding_GU = dense.over_rows(dgates_NG, context_NE)
    else:
        fed_BTU = kept.context_BTE if kept.features_BTF is None else kept.features_BTF
        dfeeding_GU = product_with_previous(out.dgates_BTG, fed_BTU, torch.zeros_like(fed_BTU[:, 0]))
    if weights.query_AH is not None:
        dquery_AH = (
            product_with_previous(out.dquery_BTA, kept.h_BTH, first_BH)
            if previous
            else dense.over_rows(out.dquery_BTA.flatten(0, 1), h_NH)
        )
    if out.dread_BTF is not None:
        dread_NF = out.dread_BTF.flatten(0, 1)
        dreading_FK = torch.cat([dense.over_rows(dread_NF, part) for part in (context_NE, h_NH)], 1)
    dbias_n_H = None if out.dun_BTH is None else out.dun_BTH.sum((0, 1), dtype=first_BH.dtype)
    return Weights(drecurrent_GH, dfeeding_GU, dbias_n_H, dquery_AH, out.denergy_A, dreading_FK)


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
    matrices = [_narrow(part, dtype) for part in (weight_hh, feeding_GU, query_AH, reading_FK)]
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
            *Weights(*matrices[:2], scaled, matrices[2], energy_A, matrices[3]),  # type: ignore[arg-type]
            *Source(*(_narrow(part, dtype) for part in source[:2]), source.mask_BS.contiguous()),  # type: ignore[arg-type]
        )
    return Decoded(*outputs)


def _narrow(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype).contiguous()
