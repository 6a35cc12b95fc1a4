"""What a search may write, and the masks that hold it."""

# B sentences alive, K hypotheses of a sentence, V vocabulary, L tokens so far, P phrases, N tokens of the longest one,
# W windows, R rows (B x K)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

Phrase = Sequence[int]

NONE, BEFORE = -1, -2
"""No token: the padding of phrases, and what stands before the first token. Neither equals a token or the other."""


@dataclass(frozen=True)
class Limits:
    """What a search may write. Lists of one entry a sentence may be empty: then there is no such limit.

    Attributes:
        bos, eos: ids of begin and end of sentence.
        longest: most tokens of each sentence, the end of sentence not counted; a prefix and required phrases find room
            beyond it.
        forbidden: ids that are never written (padding, begin of sentence).
        shortest: fewest tokens of each sentence.
        no_repeat: no n tokens in a row are written twice; 0: they may be.
        prefixes: how each answer begins. A prefix is written whatever the other limits say.
        banned: phrases that each answer does not hold.
        required: phrases that each answer holds; for beam search.

    Where all but the end of sentence is ruled out, a sentence ends even if it is too short.
    """

    bos: int
    eos: int
    longest: Sequence[int]
    forbidden: Sequence[int] = ()
    shortest: Sequence[int] = ()
    no_repeat: int = 0
    prefixes: Sequence[Phrase] = ()
    banned: Sequence[Sequence[Phrase]] = ()
    required: Sequence[Sequence[Phrase]] = ()

    def room(self) -> list[int]:
        """`longest`, with room for prefix and required phrases."""
        prefixes = self.prefixes or [()] * len(self.longest)
        required = self.required or [()] * len(self.longest)
        return [
            max(most, len(prefix) + sum(map(len, phrases)))
            for most, prefix, phrases in zip(self.longest, prefixes, required, strict=True)
        ]


@dataclass(frozen=True)
class Rules:
    """The limits as tensors, one row a sentence alive. A rule that is off is None (or 0)."""

    eos: int
    forbidden: Tensor | None
    no_repeat: int
    shortest_B: Tensor | None
    prefix_BP: Tensor | None
    banned_BPN: Tensor | None
    """Aligned at the right, so that the last token of each phrase is in the last column."""

    @classmethod
    def of(cls, limits: Limits, device: torch.device) -> Rules:
        def table(rows: list[list[int]]) -> Tensor | None:
            return padded([rows], device)[0] if any(rows) else None

        return cls(
            limits.eos,
            torch.tensor(list(limits.forbidden), device=device) if limits.forbidden else None,
            limits.no_repeat,
            torch.tensor(list(limits.shortest), device=device) if any(limits.shortest) else None,
            table([list(prefix) for prefix in limits.prefixes]),
            padded(limits.banned, device, right=True) if any(map(len, limits.banned)) else None,
        )

    @property
    def simple(self) -> bool:
        """Nothing but forbidden tokens, which are the same at each step."""
        return not self.no_repeat and self.shortest_B is self.prefix_BP is self.banned_BPN is None

    def select(self, index_B: Tensor) -> Rules:
        """The rules of the given sentences."""

        def rows(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[index_B]

        if self.simple:
            return self
        return replace(
            self, shortest_B=rows(self.shortest_B), prefix_BP=rows(self.prefix_BP), banned_BPN=rows(self.banned_BPN)
        )

    def apply(self, log_p_BKV: Tensor, tokens_BKL: Tensor) -> None:
        """Set to -inf, in place, what may not follow these tokens."""
        length = tokens_BKL.shape[2]
        forced = self._forced(log_p_BKV, length)
        if self.forbidden is not None:
            log_p_BKV.index_fill_(2, self.forbidden, -torch.inf)
        if self.shortest_B is not None or self.no_repeat or self.banned_BPN is not None:
            end_BK = log_p_BKV[:, :, self.eos].clone()
            self._apply_avoidable(log_p_BKV, tokens_BKL)
            stuck_BK = log_p_BKV.isneginf().all(-1)
            log_p_BKV[:, :, self.eos] = torch.where(stuck_BK, end_BK, log_p_BKV[:, :, self.eos])
        if forced is not None:
            forced_BK1, only_BKV = forced
            log_p_BKV.copy_(torch.where(forced_BK1, only_BKV, log_p_BKV))

    def _apply_avoidable(self, log_p_BKV: Tensor, tokens_BKL: Tensor) -> None:
        """The rules that give way rather than leave nothing to write."""
        length = tokens_BKL.shape[2]
        if self.shortest_B is not None:
            early_B1 = (self.shortest_B > length).unsqueeze(1)
            log_p_BKV[:, :, self.eos] = log_p_BKV[:, :, self.eos].masked_fill(early_B1, -torch.inf)
        if 0 < self.no_repeat <= length:
            rule_out_repeats(log_p_BKV.flatten(0, 1), tokens_BKL.flatten(0, 1), self.no_repeat)
        if self.banned_BPN is not None:
            rule_out_phrases(log_p_BKV, tokens_BKL, self.banned_BPN)

    def _forced(self, log_p_BKV: Tensor, length: int) -> tuple[Tensor, Tensor] | None:
        """Which sentences are still in their prefix, and log-probabilities with nothing but its next token."""
        if self.prefix_BP is None or length >= self.prefix_BP.shape[1]:
            return None
        wanted_B = self.prefix_BP[:, length]
        index_BK1 = wanted_B.clamp(min=0).view(-1, 1, 1).expand(-1, log_p_BKV.shape[1], 1)
        only = torch.full_like(log_p_BKV, -torch.inf).scatter(2, index_BK1, log_p_BKV.gather(2, index_BK1))
        return (wanted_B != NONE).view(-1, 1, 1), only


def rule_out_repeats(log_p_RV: Tensor, tokens_RL: Tensor, size: int) -> None:
    """-inf, in place, for each token that would write `size` tokens in a row a second time."""
    windows_RWN = tokens_RL.unfold(1, size, 1)
    recent_R1N = tokens_RL[:, tokens_RL.shape[1] - size + 1 :].unsqueeze(1)
    again_RW = (windows_RWN[:, :, :-1] == recent_R1N).all(-1)
    log_p_RV.scatter_add_(1, windows_RWN[:, :, -1], _minus_infinity(again_RW, log_p_RV))


def rule_out_phrases(log_p_BKV: Tensor, tokens_BKL: Tensor, phrases_BPN: Tensor) -> None:
    """-inf, in place, for each token that would end one of the phrases of its sentence."""
    heads_B1PN, last_B1P = phrases_BPN[:, None, :, :-1], phrases_BPN[:, None, :, -1]
    reach = heads_B1PN.shape[3]
    recent_BKN = F.pad(tokens_BKL, (reach, 0), value=BEFORE)[:, :, tokens_BKL.shape[2] :]
    begun_BKP = ((recent_BKN.unsqueeze(2) == heads_B1PN) | (heads_B1PN == NONE)).all(-1)
    index_BKP = last_B1P.clamp(min=0).expand_as(begun_BKP)
    log_p_BKV.scatter_add_(2, index_BKP, _minus_infinity(begun_BKP & (last_B1P != NONE), log_p_BKV))


def _minus_infinity(where: Tensor, like: Tensor) -> Tensor:
    return like.new_zeros(where.shape).masked_fill_(where, -torch.inf)


def padded(phrases: Sequence[Iterable[Phrase]], device: torch.device, *, right: bool = False) -> Tensor:
    """(B, P, N) phrases of each sentence, filled up with NONE; at least one column."""
    lists = [[list(phrase) for phrase in own] for own in phrases]
    most = max(map(len, lists), default=0)
    size = max((len(phrase) for own in lists for phrase in own), default=1)
    table = torch.full((len(lists), most, max(size, 1)), NONE)
    for row, own in enumerate(lists):
        for column, phrase in enumerate(own):
            start = size - len(phrase) if right else 0
            table[row, column, start : start + len(phrase)] = torch.tensor(phrase, dtype=torch.int64)
    return table.to(device)
