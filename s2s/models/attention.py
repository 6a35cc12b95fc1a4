"""Attention as three independent choices: score x query x feed, plus the readout that a preset brings along.

Presets: *bahdanau* (Bahdanau, Cho and Bengio, ICLR 2015), *luong* (Luong, Pham and Manning, EMNLP 2015), *book* (dot
attention with an affine output layer over [context; state]), *joey* (what JoeyNMT and OpenNMT-py train).
"""

# R decoder rows (sentences x beams), B sentences, T target positions, S source positions, E encoder width,
# Q query width, A attention width

from __future__ import annotations

from typing import Literal, NamedTuple, assert_never

import torch
from torch import Tensor, nn

from s2s.kernels import additive, dense
from s2s.kernels.attend import attend, serves
from s2s.kernels.fused.fed_steps import MASKED

Score = Literal["dot", "general", "additive"]
Query = Literal["previous", "current"]
Feed = Literal["none", "context", "attentional"]
Readout = Literal["affine", "tanh", "deep"]

FEW = 8
"""Queries of a sentence that are better served one by one than as a product of matrices."""


class AttentionChoice(NamedTuple):
    """What is scored how, by which state, and what the decoder gets back as input."""

    score: Score
    query: Query
    feed: Feed
    readout: Readout


PRESETS: dict[str, AttentionChoice] = {
    "bahdanau": AttentionChoice("additive", "previous", "context", "deep"),
    "luong": AttentionChoice("general", "current", "none", "tanh"),
    "book": AttentionChoice("dot", "current", "none", "affine"),
    "joey": AttentionChoice("additive", "current", "attentional", "tanh"),
}


class Attention(nn.Module):
    """c_t = sum_j a_tj h_j with a_t = softmax_j score(s_t, h_j); padding gets no weight.

    dot: s . h; general: s . W h; additive: v . tanh(W_q s + W_k h), which Luong calls concat.
    With coverage the additive score also sees what h_j got so far: v . tanh(W_q s + W_k h_j + w sum_{i<t} a_ij)
    (Tu et al. 2016, without their linguistic fertility; See, Liu and Manning 2017, equation 11).

    Args:
        query_size: Q, width of the decoder's output.
        value_size: E, width of the encoder's output.
        score: which score; dot needs Q = E.
        size: A of the additive score; Q when left out.
        coverage: the score sees the sum of the weights of all steps before.

    Raises:
        ValueError: dot with Q != E, or coverage in a score that is not additive.
    """

    def __init__(
        self, query_size: int, value_size: int, *, score: Score, size: int | None = None, coverage: bool = False
    ) -> None:
        super().__init__()
        self.score: Score = score
        self.value_size = value_size
        self.width = (size or query_size) if score == "additive" else 1
        """Numbers that the score of a pair of positions goes through."""
        self.coverage = coverage
        if coverage and score != "additive":
            raise ValueError(f"coverage enters the additive score, got {score}")
        match score:
            case "dot":
                if query_size != value_size:
                    raise ValueError(f"dot attention needs equal widths, got {query_size} and {value_size}")
            case "general":
                self.key = nn.Linear(value_size, query_size, bias=False)
            case "additive":
                self.key = nn.Linear(value_size, self.width)
                self.query = nn.Linear(query_size, self.width, bias=False)
                self.energy = nn.Linear(self.width, 1, bias=False)
                self.cover = nn.Linear(1, self.width, bias=False) if coverage else None
            case _:
                assert_never(score)

    def keys(self, values_BSE: Tensor) -> Tensor:
        """(B, S, E) encoder outputs to keys, once per source."""
        if self.score == "dot":
            return values_BSE
        return dense.linear(self.key, values_BSE)

    def forward(
        self, query_RTQ: Tensor, keys: Tensor, values_BSE: Tensor, mask_BS: Tensor, coverage_RS: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts (R, T, E) and weights (R, T, S) for R = B x beams rows, the beams of a sentence together.

        mask_BS: true where a sentence may be looked at; (R, S) where its rows may look at different positions.
        coverage_RS: the sum of all weights before these steps, where the score sees it; None: these are the first.
        """
        if not self.coverage:
            return self._together(query_RTQ, keys, values_BSE, mask_BS, None)
        if coverage_RS is None:
            coverage_RS = query_RTQ.new_zeros(query_RTQ.shape[0], mask_BS.shape[1])
        contexts, weights = [], []
        for query_R1Q in torch.split(query_RTQ, 1, 1):
            context_R1E, weight_R1S = self._together(query_R1Q, keys, values_BSE, mask_BS, coverage_RS)
            coverage_RS = coverage_RS + weight_R1S.squeeze(1)
            contexts.append(context_R1E)
            weights.append(weight_R1S)
        return torch.cat(contexts, 1), torch.cat(weights, 1)

    def _together(
        self, query_RTQ: Tensor, keys: Tensor, values_BSE: Tensor, mask_BS: Tensor, coverage_RS: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """All steps at once; with coverage it is one step."""
        rows, steps, _ = query_RTQ.shape
        sentences, positions = values_BSE.shape[:2]
        energy_A = self.energy.weight[0] if self.score == "additive" else None
        few = energy_A is not None or rows * steps <= FEW * sentences  # else products of matrices are faster
        alike = coverage_RS is None and len(mask_BS) == sentences > 0
        if energy_A is not None and alike and rows == sentences and additive.learns_here(query_RTQ, keys, values_BSE):
            asking_BTA = dense.linear(self.query, query_RTQ)
            return additive.attend(asking_BTA, keys, values_BSE, mask_BS, energy_A)
        if few and alike and serves(query_RTQ, keys, values_BSE, energy_A):
            asking = query_RTQ if energy_A is None else self.query(query_RTQ)
            context_NE, weights_NS = attend(asking.flatten(0, 1), keys, values_BSE, mask_BS, energy_A)
            return context_NE.view(rows, steps, self.value_size), weights_NS.view(rows, steps, positions)
        query = query_RTQ.reshape(sentences, rows // max(sentences, 1) * steps, query_RTQ.shape[2])
        scores = self._scores(query, keys, coverage_RS)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # a softmax over half precision is coarse
        masks = mask_BS.shape[0]
        apart = scores.view(masks, rows // max(masks, 1) * steps, positions).masked_fill(~mask_BS.unsqueeze(1), MASKED)
        weights = apart.softmax(-1).view(scores.shape)
        context = dense.each_by_columns(weights.to(values_BSE.dtype), values_BSE)
        return context.view(rows, steps, self.value_size), weights.view(rows, steps, positions)

    def _scores(self, query_BTQ: Tensor, keys: Tensor, coverage_RS: Tensor | None) -> Tensor:
        if self.score == "additive":
            hidden_BTSA = self.query(query_BTQ).unsqueeze(2) + keys.unsqueeze(1)
            if coverage_RS is not None and self.cover is not None:
                hidden_BTSA = hidden_BTSA + self.cover(coverage_RS.view(*hidden_BTSA.shape[:3], 1))
            return self.energy(torch.tanh(hidden_BTSA)).squeeze(-1)  # type: ignore[no-any-return]
        return dense.each_by_rows(query_BTQ, keys)
