"""A latent variable of each turn, with a learned prior (Serban et al., AAAI 2017)."""

# R turns, C width of the context, E width of a turn's code, Z width of the latent variable, X inputs, L hidden width

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALE = 0.1
"""Of the variances: little noise at the start (Serban et al. 2017)."""

FLOOR = 1e-8
"""Least variance: its logarithm stays finite."""


class Gaussian(NamedTuple):
    """Independent normal distributions, in single precision at least."""

    mean: Tensor
    """(R, Z)"""
    variance: Tensor
    """(R, Z)"""

    def at(self, noise_RZ: Tensor) -> Tensor:
        """The value that standard normal noise stands for."""
        return self.mean + self.variance.sqrt() * noise_RZ

    def log_density(self, z_RZ: Tensor) -> Tensor:
        """(R) log p(z), but for the constant -Z/2 log 2 pi, the same in every one."""
        distance_RZ = (z_RZ - self.mean).square() / self.variance
        return -0.5 * (distance_RZ + self.variance.log()).sum(1)


class Latent(NamedTuple):
    """What is known and supposed of each turn's latent variable."""

    prior: Gaussian
    posterior: Gaussian
    z: Tensor
    """(R, Z) drawn from the posterior."""

    @property
    def kl_RZ(self) -> Tensor:
        """KL(posterior | prior) in nats, for each unit of each turn."""
        (m_p, v_p), (m_q, v_q) = self.prior, self.posterior
        return 0.5 * (v_p.log() - v_q.log() + (v_q + (m_q - m_p).square()) / v_p - 1.0)


class GaussianLayers(nn.Module):
    """h = tanh(W_2 tanh(W_1 x + b_1) + b_2); mean W_m h + b_m; variance 0.1 softplus(W_v h + b_v)."""

    def __init__(self, input_size: int, size: int, *, hidden_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(input_size, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.mean = nn.Linear(hidden_size, size)
        self.variance = nn.Linear(hidden_size, size)

    def forward(self, x_RX: Tensor) -> Gaussian:
        """In the precision of the weights also under autocast: a divergence is a difference of small numbers."""
        with torch.autocast(x_RX.device.type, enabled=False):
            h_RL = torch.tanh(self.first(x_RX.to(self.first.weight.dtype)))
            h_RL = torch.tanh(self.second(h_RL))
            return Gaussian(self.mean(h_RL), SCALE * F.softplus(self.variance(h_RL)) + FLOOR)


class LatentVariable(nn.Module):
    """z ~ p(z | c) when a turn is written, z ~ q(z | c, code of the turn) when it is learned from.

    Args:
        context_size: C.
        code_size: E.
        size: Z.
    """

    def __init__(self, context_size: int, code_size: int, *, size: int) -> None:
        super().__init__()
        self.size = size
        self.prior = GaussianLayers(context_size, size, hidden_size=context_size)
        self.posterior = GaussianLayers(context_size + code_size, size, hidden_size=context_size)

    def forward(self, context_RC: Tensor, codes_RE: Tensor, noise_RZ: Tensor | None = None) -> Latent:
        """Both distributions, and what the posterior makes of the noise (None: drawn from torch's generator)."""
        prior = self.prior(context_RC)
        posterior = self.posterior(torch.cat([context_RC, codes_RE.to(context_RC.dtype)], 1))
        return Latent(prior, posterior, posterior.at(noise(posterior.mean, noise_RZ)))

    def guess(self, context_RC: Tensor, noise_RZ: Tensor | None = None) -> Tensor:
        """(R, Z) what the prior makes of the noise (None: drawn from torch's generator)."""
        prior: Gaussian = self.prior(context_RC)
        return prior.at(noise(prior.mean, noise_RZ))


def noise(like_RZ: Tensor, given_RZ: Tensor | None) -> Tensor:
    """The given noise, or standard normal noise from torch's generator."""
    return torch.randn_like(like_RZ) if given_RZ is None else given_RZ.to(like_RZ)
