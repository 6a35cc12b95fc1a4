"""How likely a model finds given dialogues, and what its latent variable does."""

# R rows (turns), T tokens of a turn, M real tokens of a batch, Z width of the latent variable, K samples,
# D width of what a turn is written from

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from s2s.models.dialogue_loss import TurnBatch, real_tokens
from s2s.models.hred import HRED, Heard, joined
from s2s.models.latent import Latent


class TurnScores(NamedTuple):
    """How likely given turns are, each in nats summed over its words and end mark; (R) on the CPU in float64."""

    nll: Tensor
    """-log p(turn | turns before); with a latent variable the mean over K samples *of the probability*."""
    reconstruction: Tensor
    """-log p(turn | z, ...), the mean over the samples of z; without a latent variable the same as `nll`."""
    kl: Tensor
    """KL of posterior and prior: reconstruction + kl is the bound that training minimises."""
    right: Tensor
    """Tokens that no other was likelier than, with the prior's mean as z."""
    latent: Latent | None
    """Of one sample, for `latent_sums`."""


@torch.no_grad()
def turn_scores(
    model: HRED, batch: TurnBatch, *, samples: int = 1, generator: torch.Generator | None = None
) -> TurnScores:
    """Every turn's likelihood given the turns before it; the model is in evaluation mode.

    With a latent variable p(x | c) = E_q[p(x | c, z) p(z | c) / q(z | c, x)], estimated by the mean over K samples of
    each turn. The context does not depend on z, so turns are independent given the words and their logarithms add up.
    One sample after the other: memory does not grow with K. `samples` = 1 makes of `nll` an estimate of the bound.
    """
    heard = model.read(batch.words_RT, batch.lengths_R, batch.counts_B)
    if model.latent is None:
        log_p_R, right_R = _read(model, batch, heard.context, heard)
        zero_R = torch.zeros_like(log_p_R)
        return TurnScores(-log_p_R, -log_p_R, zero_R, right_R, None)
    weights: list[Tensor] = []
    log_ps: list[Tensor] = []
    latent = None
    for _ in range(samples):
        # On the CPU, so that a seed means the same on every device.
        noise_RZ = torch.randn(len(batch.words_RT), model.latent.size, generator=generator)
        latent = model.latent(heard.context, heard.codes, noise_RZ)
        log_p_R, _ = _read(model, batch, joined(heard.context, latent.z), heard)
        log_ratio_R = latent.prior.log_density(latent.z) - latent.posterior.log_density(latent.z)
        weights.append(log_p_R + _exact(log_ratio_R))
        log_ps.append(log_p_R)
    assert latent is not None
    nll_R = math.log(samples) - torch.stack(weights).logsumexp(0)
    _, right_R = _read(model, batch, joined(heard.context, latent.prior.mean), heard)
    return TurnScores(nll_R, -torch.stack(log_ps).mean(0), _exact(latent.kl_RZ).sum(1), right_R, latent)


class LatentSums(NamedTuple):
    """What the units of a latent variable do, as sums over turns: those of batches and workers add up."""

    turns: int
    kl: float
    """In nats."""
    shift_Z: Tensor
    """Of (mean_q - mean_p) / deviation_p; the next is of its square. All on the CPU in float64."""
    square_Z: Tensor
    posterior_Z: Tensor
    """Of variances."""
    prior_Z: Tensor

    def merged(self, other: LatentSums) -> LatentSums:
        """Of the turns of both."""
        vectors = (one + two for one, two in zip(self[2:], other[2:], strict=True))
        return LatentSums(self.turns + other.turns, self.kl + other.kl, *vectors)

    def active(self, threshold: float = 0.01) -> int:
        """Units whose shift varies from turn to turn, its variance above the threshold.

        With a learned prior the spread of the posterior's mean alone would prove nothing: it may be the prior's.
        """
        mean_Z = self.shift_Z / self.turns
        return int((self.square_Z / self.turns - mean_Z.square() > threshold).sum())

    def variances(self) -> tuple[float, float]:
        """The mean variance of posterior and prior."""
        posterior, prior = (float(part_Z.mean()) / self.turns for part_Z in (self.posterior_Z, self.prior_Z))
        return posterior, prior


def latent_sums(latent: Latent) -> LatentSums:
    """Of the turns of a batch."""
    prior, posterior = latent.prior, latent.posterior
    shift_RZ = _exact((posterior.mean - prior.mean) / prior.variance.sqrt())
    sums = (shift_RZ, shift_RZ.square(), _exact(posterior.variance), _exact(prior.variance))
    return LatentSums(len(shift_RZ), float(_exact(latent.kl_RZ).sum()), *(part_RZ.sum(0) for part_RZ in sums))


_ROWS = 1_024
"""Positions of the output layer at once: with 32,000 tokens their logits take 131 MB."""


def _read(model: HRED, batch: TurnBatch, given_RD: Tensor, heard: Heard) -> tuple[Tensor, Tensor]:
    """(R) log p of each turn, and how many of its tokens were right."""
    real_RT = real_tokens(batch)
    features_MF = model.write(batch.inputs_RT, given_RD, heard).features[real_RT]
    log_p_M, right_M = [], []
    target_M = batch.words_RT[real_RT]
    for features, target in zip(torch.split(features_MF, _ROWS), torch.split(target_M, _ROWS), strict=True):
        logits: Tensor = model.output(features)
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
        log_p_M.append(log_p.gather(1, target.unsqueeze(1)).squeeze(1))
        right_M.append(log_p.argmax(1) == target)
    return _by_turn(torch.cat(log_p_M), real_RT), _by_turn(torch.cat(right_M), real_RT)


def _by_turn(values_M: Tensor, real_RT: Tensor) -> Tensor:
    """(R) sums of the values of real tokens."""
    values_RT = torch.zeros(real_RT.shape, dtype=torch.float64)
    values_RT[real_RT.cpu()] = _exact(values_M)
    return values_RT.sum(1)


def _exact(value: Tensor) -> Tensor:
    return value.detach().cpu().double()
