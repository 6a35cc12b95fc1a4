"""Drawing tokens by their probability."""

# B sentences, K samples of a sentence, V vocabulary, C candidates, T positions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_SPREAD = 1_000_003  # a prime: sentences of neighbouring seeds do not share their numbers


@dataclass(frozen=True)
class Sampling:
    """p(y)^(1/temperature), of the `top_k` likeliest tokens (0: all), of which only the fewest that have `top_p` of the
    probability together stay (Holtzman et al. 2020)."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1


def uniform_numbers(seed: int, sentences: Sequence[int], samples: int, longest: Sequence[int]) -> Tensor:
    """(B, K, T) numbers in [0, 1), each sentence with its own generator: a batch draws as its sentences would alone."""
    table = torch.zeros(len(sentences), samples, max(longest, default=0) + 1)
    for row, (sentence, most) in enumerate(zip(sentences, longest, strict=True)):
        generator = torch.Generator().manual_seed((seed * _SPREAD + sentence) & 0xFFFFFFFF)
        for own_T in table[row]:
            own_T[: most + 1] = torch.rand(most + 1, generator=generator)
    return table


def draw(log_p_BKV: Tensor, uniform_BK: Tensor, sampling: Sampling) -> Tensor:
    """(B, K) tokens: the inverse of the cumulative distribution at the given numbers."""
    scaled = log_p_BKV / sampling.temperature
    ids: Tensor | None = None
    if sampling.top_k:
        scaled, ids = scaled.topk(min(sampling.top_k, scaled.shape[-1]), dim=-1)
    elif sampling.top_p < 1.0:
        scaled, ids = scaled.sort(dim=-1, descending=True)
    p_BKC = scaled.softmax(-1)
    if sampling.top_p < 1.0:
        before_BKC = p_BKC.cumsum(-1) - p_BKC
        before_BKC[:, :, 0] = 0.0  # the likeliest always stays
        p_BKC = p_BKC.masked_fill(before_BKC >= sampling.top_p, 0.0)
    cumulative_BKC = p_BKC.cumsum(-1)
    total_BK1 = cumulative_BKC[:, :, -1:]
    drawn_BK1 = torch.searchsorted(cumulative_BKC, uniform_BK.unsqueeze(-1) * total_BK1, right=True)
    # A product that is rounded up to the total must not reach what has no probability.
    drawn_BK1 = torch.minimum(drawn_BK1, (cumulative_BKC < total_BK1).sum(-1, keepdim=True))
    return (drawn_BK1 if ids is None else ids.gather(-1, drawn_BK1)).squeeze(-1)
