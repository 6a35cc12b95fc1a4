"""Phrases that an answer must hold: beam search with dynamic allocation (Post and Vilar 2018, arXiv 1804.06609).

How far a hypothesis has come with its phrases is read from its tokens, so it is no state of its own. The beam is shared
out among hypotheses that still need different numbers of tokens, and nobody goes where the room would not suffice for
what is missing: every answer holds its phrases, also one that the length limit cuts off.
"""

# B sentences alive, K hypotheses of a sentence, V vocabulary, L tokens so far, C candidates, P phrases,
# N tokens of the longest phrase, W places where a phrase may begin

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.search.limits import BEFORE, NONE, Limits, padded


class Candidates(NamedTuple):
    """Children of the hypotheses of each sentence, those to be taken first in front."""

    score_BC: Tensor
    parent_BC: Tensor
    token_BC: Tensor


class Standing(NamedTuple):
    """How far hypotheses are."""

    met_BCP: Tensor
    """The phrase stands in the text."""
    begun_BCP: Tensor
    """How many of its first tokens are the last that were written."""
    need_BC: Tensor
    """Tokens that end all phrases, if the one that is furthest is ended first and the others follow."""


@dataclass(frozen=True)
class Required:
    """The phrases of each sentence alive."""

    phrases_BPN: Tensor
    length_BP: Tensor
    room_B: Tensor

    @classmethod
    def of(cls, limits: Limits, device: torch.device) -> Required | None:
        """None where nothing is required."""
        if not any(map(len, limits.required)):
            return None
        phrases = padded(limits.required, device)
        return cls(phrases, (phrases != NONE).sum(-1), torch.tensor(limits.room(), device=device))

    def select(self, index_B: Tensor) -> Required:
        """Those of the given sentences."""
        return Required(self.phrases_BPN[index_B], self.length_BP[index_B], self.room_B[index_B])

    def standing(self, tokens_BCL: Tensor) -> Standing:
        """Where each hypothesis stands."""
        size = self.phrases_BPN.shape[2]
        text_BCW = F.pad(tokens_BCL, (1, 0), value=BEFORE)  # so that there is a place even before the first token
        windows_BCWN = F.pad(text_BCW, (0, size - 1), value=BEFORE).unfold(2, size, 1)
        left_W = torch.arange(text_BCW.shape[2], 0, -1, device=tokens_BCL.device)
        beyond_WN = torch.arange(size, device=tokens_BCL.device) >= left_W.unsqueeze(1)
        phrases_BPN, length_BP = self.phrases_BPN, self.length_BP
        free_BWPN = (phrases_BPN == NONE).unsqueeze(1) | beyond_WN.unsqueeze(1)
        equal_BCWPN = windows_BCWN.unsqueeze(3) == phrases_BPN[:, None, None]
        fits_BCWP = (equal_BCWPN | free_BWPN.unsqueeze(1)).all(-1)
        whole_BWP = left_W.unsqueeze(1) >= length_BP.unsqueeze(1)
        met_BCP = (fits_BCWP & whole_BWP.unsqueeze(1)).any(2)
        begun_BCP = ((fits_BCWP & ~whole_BWP.unsqueeze(1)) * left_W.unsqueeze(1)).amax(2) * ~met_BCP
        open_BC = (length_BP.unsqueeze(1) * ~met_BCP).sum(-1)
        return Standing(met_BCP, begun_BCP, open_BC - begun_BCP.amax(-1))

    def candidates(self, total_BKV: Tensor, tokens_BKL: Tensor, eos: int) -> Candidates:
        """The 2 K likeliest children; and of each hypothesis its likeliest, its end and all that a phrase asks for."""
        vocabulary = total_BKV.shape[2]
        before = self.standing(tokens_BKL)
        score_BC, flat_BC = _without_twins(total_BKV.flatten(1), self._worth_a_look(total_BKV, before, eos))
        parent_BC, token_BC = flat_BC // vocabulary, flat_BC % vocabulary
        history = tokens_BKL.gather(1, parent_BC.unsqueeze(-1).expand(-1, -1, tokens_BKL.shape[2]))
        after_BC = self.standing(torch.cat([history, token_BC.unsqueeze(-1)], -1)).need_BC
        left_B1 = (self.room_B - tokens_BKL.shape[2] - 1).unsqueeze(1)
        met_BC = before.need_BC.gather(1, parent_BC) == 0
        allowed_BC = torch.where(token_BC == eos, met_BC, after_BC <= left_B1)
        allowed_BC |= (self.length_BP.sum(-1) == 0).unsqueeze(1)  # a sentence that asks for nothing
        score_BC = score_BC.masked_fill(~allowed_BC, -torch.inf)
        order_BC = _shared_out(score_BC, after_BC)
        return Candidates(*(part.gather(1, order_BC) for part in (score_BC, parent_BC, token_BC)))

    def _worth_a_look(self, total_BKV: Tensor, standing: Standing, eos: int) -> Tensor:
        """(B, C) children as places in the flattened (K, V); some stand there twice."""
        sentences, width, vocabulary = total_BKV.shape
        row_K1 = torch.arange(width, device=total_BKV.device).unsqueeze(1) * vocabulary
        likely = total_BKV.flatten(1).topk(min(2 * width, width * vocabulary), dim=1).indices
        best_BK1 = total_BKV.argmax(-1, keepdim=True) + row_K1
        places = standing.begun_BCP.clamp(max=self.phrases_BPN.shape[2] - 1).unsqueeze(-1)
        phrases = self.phrases_BPN.unsqueeze(1).expand(-1, width, -1, -1)
        next_BKP = phrases.gather(3, places).squeeze(3)
        wanted_BKP = torch.where(standing.met_BCP | (next_BKP == NONE), best_BK1, next_BKP + row_K1)
        end_BK = (row_K1.squeeze(1) + eos).expand(sentences, -1)
        return torch.cat([likely, best_BK1.squeeze(2), end_BK, wanted_BKP.reshape(sentences, -1)], 1)


def _without_twins(total_BX: Tensor, flat_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Scores, best first, and places; what stands there a second time has the score -inf."""
    flat_BC = flat_BC.sort(dim=1).values
    twin_BC = F.pad(flat_BC[:, 1:] == flat_BC[:, :-1], (1, 0))
    score_BC, order_BC = total_BX.gather(1, flat_BC).masked_fill(twin_BC, -torch.inf).sort(dim=1, descending=True)
    return score_BC, flat_BC.gather(1, order_BC)


def _shared_out(score_BC: Tensor, need_BC: Tensor) -> Tensor:
    """The order (B, C) in which candidates enter the beam: the best of each need, least need first, then the second
    best of each, and so on; impossible ones last. Ranks are by score."""
    dead_BC = score_BC.isneginf()
    ranked_BC = score_BC.argsort(dim=1, descending=True, stable=True)
    bank_BC = need_BC.masked_fill(dead_BC, NONE).gather(1, ranked_BC)
    earlier_BCC = (bank_BC.unsqueeze(2) == bank_BC.unsqueeze(1)).tril(-1)
    rank_BC = earlier_BCC.sum(-1)
    key_BC = rank_BC * (int(need_BC.max()) + 1) + bank_BC
    key_BC = key_BC.masked_fill(bank_BC == NONE, torch.iinfo(torch.int64).max)
    return ranked_BC.gather(1, key_BC.argsort(dim=1, stable=True))
