"""What training minimises."""

# N real target positions of a batch, V vocabulary, F features

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.kernels.agreement import linear_agreement
from s2s.kernels.cross_entropy import Mixed, linear_cross_entropy
from s2s.models.copying import log_shares
from s2s.models.decoder import Decoded
from s2s.models.seq2seq import Seq2Seq


class PairBatch(Protocol):
    """What the loss reads of a batch of pairs."""

    @property
    def source_BS(self) -> Tensor: ...
    @property
    def source_lengths_B(self) -> Tensor: ...
    @property
    def target_in_BT(self) -> Tensor: ...
    @property
    def target_out_BT(self) -> Tensor: ...


class Loss(NamedTuple):
    """Sums over a batch, so that batches and workers merge exactly."""

    total: Tensor
    """What is minimised, summed over tokens (with label smoothing)."""
    nll: Tensor
    """Negative log-likelihood in nats, summed over tokens, detached."""
    tokens: int
    """Number of real target tokens, end of sentence included."""


def coverage_loss(weights_BTS: Tensor, real_BT: Tensor) -> Tensor:
    """sum over real t and all j of min(a_tj, sum_{i<t} a_ij): what is looked at again (See et al. 2017)."""
    before_BTS = weights_BTS.cumsum(1) - weights_BTS
    return torch.minimum(weights_BTS, before_BTS).sum(-1)[real_BT].sum()


def sequence_loss(
    model: Seq2Seq,
    batch: PairBatch,
    *,
    padding: int = 0,
    smoothing: float = 0.0,
    coverage: float = 0.0,
    sampling: float = 0.0,
    agreement: float = 0.0,
) -> Loss:
    """The loss of a batch of pairs under teacher forcing, over real positions only.

    `coverage` is the weight of `coverage_loss` in what is minimised; without attention there is none. `sampling` is the
    share of inputs that are the model's own words (`Seq2Seq.own_words`).
    The logits are made and used up in chunks (`kernels.cross_entropy`), so they never exist as a whole. Where words are
    copied, the share `smoothing` goes to words that are generated.
    `agreement`: weight of R-Drop. The batch is read twice, with dropout drawn anew, as one batch of twice the rows, and
    the two distributions are drawn towards each other (`kernels.agreement`); for models that do not copy.
    """
    inputs = batch.source_BS, batch.source_lengths_B, batch.target_in_BT
    readings = 2 if agreement else 1
    decoded: Decoded = model(*(torch.cat([part] * readings) for part in inputs), sampling=sampling)
    real_BT = batch.target_out_BT != padding
    target_N, layer = batch.target_out_BT[real_BT], (model.output.weight, model.output.bias)
    if agreement:
        one_NF, other_NF = (part_BTF[real_BT] for part_BTF in decoded.features.chunk(2))
        total, nll = linear_agreement(one_NF, other_NF, *layer, target_N, strength=agreement, smoothing=smoothing)
    else:
        mixed = _mixed(decoded, batch, real_BT)
        total, nll = linear_cross_entropy(decoded.features[real_BT], *layer, target_N, smoothing=smoothing, mixed=mixed)
    if coverage and decoded.weights is not None:
        looked = coverage_loss(decoded.weights, torch.cat([real_BT] * readings))
        total = total + coverage / readings * looked
    return Loss(total, nll, target_N.numel())


def _mixed(decoded: Decoded, batch: PairBatch, real_BT: Tensor) -> Mixed | None:
    """What copying adds at real positions; None for a model that does not copy."""
    if decoded.generate is None or decoded.weights is None:
        return None
    shares = log_shares(decoded.generate, decoded.weights, batch.source_BS, batch.target_out_BT)
    return Mixed(*(share_BT[real_BT] for share_BT in shares))
