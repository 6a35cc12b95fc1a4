"""What training a model of dialogues minimises."""

# R rows (turns), T tokens of a turn, M real tokens of a batch, V vocabulary, Z width of the latent variable,
# D width of what a turn is written from

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.kernels.cross_entropy import linear_cross_entropy
from s2s.models.hred import HRED
from s2s.models.loss import Loss


class TurnBatch(Protocol):
    """What the losses read of a batch of dialogues: every turn a row, as `HRED.forward` takes them."""

    @property
    def words_RT(self) -> Tensor: ...
    @property
    def lengths_R(self) -> Tensor: ...
    @property
    def counts_B(self) -> Tensor: ...
    @property
    def inputs_RT(self) -> Tensor: ...


class DialogueLoss(NamedTuple):
    """Sums over a batch, so that batches and workers merge exactly; all but `total` detached."""

    total: Tensor
    """What is minimised."""
    nll: Tensor
    """Negative log-likelihood of the words in nats; with a latent variable, given the posterior's z."""
    tokens: int
    """Number of words, ends of turns included."""
    kl: Tensor
    """KL divergence of posterior and prior in nats, without weight and free bits; 0 without a latent variable."""
    bag: Tensor
    """Loss of the bag of words, without its weight."""
    turns: int

    @property
    def loss(self) -> Loss:
        """What the training loop reads."""
        return Loss(self.total, self.nll, self.tokens)


def dialogue_loss(
    model: HRED,
    batch: TurnBatch,
    *,
    kl_weight: float = 1.0,
    free_bits: float = 0.0,
    bag_of_words: float = 0.0,
    smoothing: float = 0.0,
    sampling: float = 0.0,
    noise_RZ: Tensor | None = None,
) -> DialogueLoss:
    """nll + kl_weight sum over turns of max(free_bits, KL) + bag_of_words bag, all turns of a batch at once.

    Args:
        kl_weight: w, which rises from 0 to 1 in training (Bowman et al. 2016).
        free_bits: nats of divergence that cost nothing more, shared out evenly among the units of a turn's latent
            variable: a unit below its share is not pulled to the prior (Kingma et al. 2016, for each turn).
        bag_of_words: weight of the loss that guesses a turn's words from [c; z] alone (Zhao et al. 2017).
        smoothing, sampling: as in `sequence_loss`.
        noise_RZ: as in `HRED.forward`.

    Raises:
        ValueError: a bag of words is asked for of a model without its layer.
    """
    tensors = batch.words_RT, batch.lengths_R, batch.counts_B, batch.inputs_RT
    spoken = model(*tensors, noise_RZ=noise_RZ, sampling=sampling)
    real_RT = real_tokens(batch)
    features_MF, target_M = spoken.decoded.features[real_RT], batch.words_RT[real_RT]
    total, nll = linear_cross_entropy(
        features_MF, model.output.weight, model.output.bias, target_M, smoothing=smoothing
    )
    kl = bag = torch.zeros_like(nll)
    if spoken.latent is not None:
        kl_RZ = spoken.latent.kl_RZ
        kl = kl_RZ.detach().sum()
        total = total + kl_weight * kl_RZ.clamp(min=free_bits / kl_RZ.shape[1]).sum()
    if bag_of_words:
        cost = bag_loss(model, spoken.given, batch)
        bag = cost.detach()
        total = total + bag_of_words * cost
    return DialogueLoss(total, nll, target_M.numel(), kl, bag, len(batch.words_RT))


def bag_loss(model: HRED, given_RD: Tensor, batch: TurnBatch) -> Tensor:
    """-sum over turns and their words w, without end marks, of log softmax(W [c; z] + b)_w, in float32 at least."""
    if model.bag is None:
        raise ValueError("this model has no layer for a bag of words")
    logits_RV: Tensor = model.bag(given_RD)
    log_p_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32)).log_softmax(1)
    words_RT = real_tokens(batch, ends=False)
    return -log_p_RV.gather(1, batch.words_RT)[words_RT].sum()


def real_tokens(batch: TurnBatch, *, ends: bool = True) -> Tensor:
    """(R, T) true at tokens, with or without the end marks."""
    position_T = torch.arange(batch.words_RT.shape[1], device=batch.words_RT.device)
    return position_T < (batch.lengths_R if ends else batch.lengths_R - 1).unsqueeze(1)
