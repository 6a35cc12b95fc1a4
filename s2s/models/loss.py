"""What training minimises."""

# N real target positions of a batch, V vocabulary, F features

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels.cross_entropy import linear_cross_entropy
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
    correct: Tensor
    """Tokens predicted right under teacher forcing, detached."""
    tokens: int
    """Number of real target tokens, end of sentence included."""


def token_loss(logits_NV: Tensor, target_N: Tensor, *, smoothing: float = 0.0) -> Loss:
    """Cross-entropy with the share `smoothing` spread evenly over all V tokens (Szegedy et al. 2016)."""
    log_p_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)).log_softmax(-1)
    nll = F.nll_loss(log_p_NV, target_N, reduction="sum")
    total = nll
    if smoothing:
        total = (1.0 - smoothing) * nll - smoothing * log_p_NV.mean(-1).sum()
    with torch.no_grad():
        correct = (log_p_NV.argmax(-1) == target_N).sum()
    return Loss(total, nll.detach(), correct, target_N.numel())


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
) -> Loss:
    """The loss of a batch of pairs under teacher forcing, over real positions only.

    `coverage` is the weight of `coverage_loss` in what is minimised; without attention there is none. `sampling` is the
    share of inputs that are the model's own words (`Seq2Seq.own_words`).
    With gradients the logits are made and used up in chunks (`kernels.cross_entropy`), so they never exist as a whole.
    """
    inputs = batch.source_BS, batch.source_lengths_B, batch.target_in_BT
    features_BTF, weights_BTS = model(*inputs, sampling=sampling)
    real_BT = batch.target_out_BT != padding
    features_NF, target_N = features_BTF[real_BT], batch.target_out_BT[real_BT]
    if not torch.is_grad_enabled():
        return token_loss(model.output(features_NF), target_N, smoothing=smoothing)
    weight, bias = model.output.weight, model.output.bias
    total, nll, hits = linear_cross_entropy(features_NF, weight, bias, target_N, smoothing=smoothing)
    if coverage and weights_BTS is not None:
        total = total + coverage * coverage_loss(weights_BTS, real_BT)
    return Loss(total, nll, hits, target_N.numel())
