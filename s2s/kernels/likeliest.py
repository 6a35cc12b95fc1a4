"""The likeliest next tokens of a beam, without the log-probabilities of all the others.

Shapes: B sentences, K hypotheses of each, V vocabulary, C chosen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import NAMES, call


class Likeliest(NamedTuple):
    """Best first; where fewer are possible, the last have the score -inf."""

    score_BC: Tensor
    place_BC: Tensor
    """Hypothesis * V + token."""


def likeliest(logits_BKV: Tensor, score_BK: Tensor, count: int, forbidden: Tensor | None = None) -> Likeliest:
    """The `count` largest of score + log softmax(logits) over all hypotheses of a sentence.

    score_BK: of each hypothesis so far; -inf for one that has no children. forbidden: tokens that are not chosen; they
    do count in the softmax. The arithmetic is in float32 at least.
    """
    assert count <= logits_BKV.shape[1] * logits_BKV.shape[2], "there are not so many places"
    if not (logits_BKV.device.type == "cpu" and logits_BKV.dtype in NAMES and not_built("likeliest") is None):
        return _plain(logits_BKV, score_BK, count, forbidden)
    sentences, width, vocabulary = logits_BKV.shape
    score_BK = score_BK.to(torch.promote_types(logits_BKV.dtype, torch.float32)).contiguous()
    found = Likeliest(score_BK.new_empty(sentences, count), score_BK.new_empty(sentences, count, dtype=torch.int64))
    sizes = (sentences, width, vocabulary, count, 0 if forbidden is None else len(forbidden))
    call("likeliest", "likeliest", sizes, None, logits_BKV.contiguous(), score_BK, forbidden, *found)
    return found


def _plain(logits_BKV: Tensor, score_BK: Tensor, count: int, forbidden: Tensor | None) -> Likeliest:
    total_BKV = logits_BKV.to(torch.promote_types(logits_BKV.dtype, torch.float32)).log_softmax(-1)
    if forbidden is not None:
        total_BKV.index_fill_(2, forbidden, -torch.inf)
    return Likeliest(*(score_BK.unsqueeze(-1) + total_BKV).flatten(1).topk(count, dim=1))
