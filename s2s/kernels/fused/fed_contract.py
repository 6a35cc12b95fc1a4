"""What the loops of a decoder that feeds its attention back take and leave, in whichever language.

Shapes: B batch, T target positions, I input, G gates (3 H of the GRU, 4 H of the LSTM), H hidden, A attention width,
S source positions, E width of the values, F features, K what the readout reads (E + H), U what is fed (F or E).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.kernels.fused.products import INPUT, Input
from s2s.kernels.protocol import State


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
    return Kept(gates_BTG, inner, h, query, context, read_BTF, state[0].new_empty(batch, time, source.mask_BS.shape[1]))


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
