"""The loops of `s2s.kernels.fused.fed` in plain torch.

Shapes: B batch, T target positions, I input, G gates (3 H of the GRU, 4 H of the LSTM), H hidden, A attention width,
S source positions, E width of the values, F features, K what the readout reads (E + H), U what is fed (F or E).
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.fused.fed_contract import Gradients, Kept, Loops, Source, Upstream, Weights, results, room
from s2s.kernels.fused.products import add_product, sigmoid_slope
from s2s.kernels.protocol import State

MASKED = -1e9
"""Score of padding: finite, so that a source without a single token gives no NaN."""


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
    dcontext_BE, dh_BH = dfed_BU, torch.zeros_like(kept.h_BTH[:, t], dtype=dtype)
    if kept.features_BTF is not None and weights.reading_FK is not None and out.dread_BTF is not None:
        features_BF = kept.features_BTF[:, t].to(dtype)
        dfeatures_BF = dfed_BU if upstream.dfeatures_BTF is None else dfed_BU + upstream.dfeatures_BTF[:, t]
        out.dread_BTF[:, t] = dfeatures_BF * (1 - features_BF * features_BF)
        dcontext_BE, dh_BH = torch.mm(out.dread_BTF[:, t], weights.reading_FK).to(dtype).tensor_split((width,), 1)
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
    if weights.query_AH is None:
        return dh_BH + dquery_BA
    return dh_BH + torch.mm(out.dquery_BTA[:, t], weights.query_AH).to(dtype)


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
