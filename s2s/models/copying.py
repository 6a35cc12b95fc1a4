"""Words of the source as words of the target: the pointer-generator (See, Liu and Manning 2017, "Get to the point").

    p(w) = p_gen softmax(z)_w + (1 - p_gen) sum_{j: x_j = w} a_j        (equations 8 and 9)

z are the logits of the V words of the vocabulary, a the attention. Source and target share their ids; a source word
outside the vocabulary has an id of its own from V on, which only the second part reaches. There are at most S of them.
"""

# R rows, S source positions, T target positions, V vocabulary

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.models.embedding import UNKNOWN


def known(token_RT: Tensor, vocabulary: int) -> Tensor:
    """What embeddings are looked up by: <unk> for words that are not in the vocabulary."""
    return torch.where(token_RT < vocabulary, token_RT, UNKNOWN)


def mixture(logits_RV: Tensor, generate_R: Tensor, weights_RS: Tensor, source_RS: Tensor) -> Tensor:
    """(R, V + S) log p(w), -inf for what can be neither written nor copied; for use without gradients.

    Args:
        logits_RV: z.
        generate_R: logit of p_gen.
        weights_RS: a.
        source_RS: x, ids below V + S.
    """
    generate_R1 = generate_R.to(weights_RS.dtype).unsqueeze(1)
    generated_RV = logits_RV.to(weights_RS.dtype).log_softmax(-1) + F.logsigmoid(generate_R1)
    copied_RX = weights_RS.new_zeros(len(logits_RV), logits_RV.shape[1] + source_RS.shape[1])
    copied_RX.scatter_add_(1, source_RS, weights_RS)
    copied_RX = copied_RX.log_().add_(F.logsigmoid(-generate_R1))
    return torch.logaddexp(F.pad(generated_RV, (0, source_RS.shape[1]), value=-torch.inf), copied_RX)


def log_shares(generate_RT: Tensor, weights_RTS: Tensor, source_RS: Tensor, target_RT: Tensor) -> tuple[Tensor, Tensor]:
    """(R, T) log p_gen, and log((1 - p_gen) sum_{j: x_j = y_t} a_j), which is very small where y_t is not in x."""
    generate_RT = generate_RT.to(weights_RTS.dtype)
    elsewhere_RTS = source_RS.unsqueeze(1) != target_RT.unsqueeze(2)
    mass_RT = weights_RTS.masked_fill(elsewhere_RTS, 0.0).sum(-1)
    least = torch.finfo(mass_RT.dtype).tiny  # finite, so that a word that has no probability has a gradient
    return F.logsigmoid(generate_RT), F.logsigmoid(-generate_RT) + mass_RT.clamp(min=least).log()
