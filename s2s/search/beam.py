"""Beam search, plain or in groups that keep away from each other."""

# B sentences alive, K hypotheses of a sentence, R rows (B x K, the hypotheses of a sentence together), V vocabulary,
# L tokens so far, C candidates for the next place in a beam; with groups, k = K / groups stands for K of one of them

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from s2s.kernels.likeliest import likeliest
from s2s.search.hypothesis import Hypothesis, LengthPenalty, ranked
from s2s.search.limits import Limits, Rules
from s2s.search.required import Candidates, Required
from s2s.search.stepper import MemoryT, StateT, Stepper, device_of, log_softmax


@torch.inference_mode()
def beam(
    model: Stepper[StateT, MemoryT],
    memory: MemoryT,
    limits: Limits,
    *,
    width: int,
    penalty: LengthPenalty,
    groups: int = 1,
    diversity: float = 0.0,
    token_scores: bool = False,
) -> list[list[Hypothesis]]:
    """Beam search: up to `width` hypotheses a sentence, best first, in the order of the memory.

    A sentence leaves when `width` of its hypotheses are finished or its length limit is reached; there a hypothesis may
    still end, and those that do not are cut off and rank behind every finished one.

    Args:
        groups: the beam is split into so many of equal width that choose one after the other, each taking `diversity`
            from the score of a token for every time that an earlier group wrote it at this step (Vijayakumar et al.
            2016, arXiv 1610.02424; Hamming diversity). Scores of hypotheses are without it.
        token_scores: keep the log-probability of each token.

    Raises:
        ValueError: groups that do not divide the width, or with required phrases.
    """
    plan = _Plan(limits, limits.room(), width, penalty, groups, diversity)
    if not plan.room:
        return []
    state = model.begin(memory)
    device = device_of(state)
    state = model.reorder(state, torch.arange(len(plan.room), device=device).repeat_interleave(width))
    beams = _Beams.start(plan, device, token_scores=token_scores)
    token_R = torch.full((len(plan.room) * width,), limits.bos, device=device)
    while True:
        logits_RV, state = model.step(token_R, state, memory)
        parent_BK, keep = _extend(beams, logits_RV.view(len(beams.sentences), width, -1), plan)
        if not keep:
            break
        offset_B1 = torch.arange(parent_BK.shape[0], device=device).unsqueeze(1) * width
        rows_BK = parent_BK + offset_B1
        if len(keep) < parent_BK.shape[0]:
            index = torch.tensor(keep, device=device, dtype=torch.int64)
            beams = beams.select(keep, index)
            rows_BK, memory = rows_BK.index_select(0, index), model.select(memory, index)
        state = model.reorder(state, rows_BK.flatten())
        token_R = beams.tokens_BKL[:, :, -1].flatten()
    return [_merged(groups_done)[:width] for groups_done in beams.done]


@dataclass(frozen=True)
class _Plan:
    """What stays as it is during a search."""

    limits: Limits
    room: list[int]
    width: int
    penalty: LengthPenalty
    groups: int
    diversity: float

    def __post_init__(self) -> None:
        if self.width % self.groups:
            raise ValueError(f"groups must divide the width, got {self.groups} groups and a width of {self.width}")
        if self.groups > 1 and any(map(len, self.limits.required)):
            raise ValueError("required phrases share the beam out in their own way; take one group")

    @property
    def size(self) -> int:
        """k, the width of one group."""
        return self.width // self.groups

    def candidates(self, vocabulary: int) -> int:
        """C: at most k of the candidates end a sentence, so twice as many always leave k that go on."""
        return min(2 * self.size, self.size * vocabulary)

    def columns(self, group: int) -> slice:
        return slice(group * self.size, (group + 1) * self.size)


@dataclass
class _Beams:
    """The unfinished hypotheses of all sentences alive, and the finished ones of all sentences, group by group."""

    sentences: list[int]
    tokens_BKL: Tensor
    score_BK: Tensor
    gains_BKL: Tensor | None
    rules: Rules
    required: Required | None
    done: list[list[list[Hypothesis]]] = field(default_factory=list)

    @classmethod
    def start(cls, plan: _Plan, device: torch.device, *, token_scores: bool) -> _Beams:
        count = len(plan.room)
        score_BK = torch.full((count, plan.width), -torch.inf, device=device)
        # All hypotheses are alike before the first step, so only one of each group may have children.
        score_BK[:, :: plan.size] = 0.0
        tokens = torch.empty(count, plan.width, 0, dtype=torch.int64, device=device)
        gains = torch.empty(count, plan.width, 0, device=device) if token_scores else None
        rules, required = Rules.of(plan.limits, device), Required.of(plan.limits, device)
        done: list[list[list[Hypothesis]]] = [[[] for _ in range(plan.groups)] for _ in range(count)]
        return cls(list(range(count)), tokens, score_BK, gains, rules, required, done)

    @property
    def simple(self) -> bool:
        """The choice needs nothing but the logits, the scores so far and the tokens that are always forbidden."""
        return self.rules.simple and self.required is None and self.gains_BKL is None

    def select(self, keep: list[int], index_B: Tensor) -> _Beams:
        """Those of the given sentences."""
        return replace(
            self,
            sentences=[self.sentences[row] for row in keep],
            tokens_BKL=self.tokens_BKL.index_select(0, index_B),
            score_BK=self.score_BK.index_select(0, index_B),
            gains_BKL=None if self.gains_BKL is None else self.gains_BKL.index_select(0, index_B),
            rules=self.rules.select(index_B),
            required=None if self.required is None else self.required.select(index_B),
        )

    def gains(self, row: int, column: int, last: list[float]) -> list[float] | None:
        """Log-probabilities of the tokens of a hypothesis, with what came last."""
        return None if self.gains_BKL is None else [*self.gains_BKL[row, column].tolist(), *last]


def _extend(beams: _Beams, logits_BKV: Tensor, plan: _Plan) -> tuple[Tensor, list[int]]:
    """Grow every hypothesis by one token and store those that end.

    Returns the parent (B, K) of each new one, and the batch rows that go on.
    """
    if plan.groups == 1 and beams.simple:
        picked, log_p_BKV = _picked(beams, _likeliest(beams, logits_BKV, plan), None, plan, 0), None
    else:
        log_p_BKV = log_softmax(logits_BKV)
        beams.rules.apply(log_p_BKV, beams.tokens_BKL)
        picked = _picked_by_groups(beams, log_p_BKV, plan)
    dead = _dead(picked.score_BC, plan)
    _cut_off(beams, dead, plan)
    _append(beams, log_p_BKV, picked)
    return picked.parent_BC, _going_on(beams, dead, plan)


def _picked_by_groups(beams: _Beams, log_p_BKV: Tensor, plan: _Plan) -> Candidates:
    """What each group grows into, one after the other."""
    chosen = []
    used_BV = torch.zeros_like(log_p_BKV[:, 0]) if plan.groups > 1 else None
    for group in range(plan.groups):
        candidates = _candidates(beams, log_p_BKV, plan, group, used_BV)
        picked = _picked(beams, candidates, log_p_BKV, plan, group)
        if used_BV is not None:
            used_BV.scatter_add_(1, picked.token_BC, (~picked.score_BC.isneginf()).to(used_BV.dtype))
        chosen.append(picked)
    return chosen[0] if len(chosen) == 1 else Candidates(*(torch.cat(parts, 1) for parts in zip(*chosen, strict=True)))


def _picked(beams: _Beams, candidates: Candidates, log_p_BKV: Tensor | None, plan: _Plan, group: int) -> Candidates:
    """The first k of a group that go on; those that end before them are stored."""
    ended_BC = candidates.token_BC == plan.limits.eos
    _collect_ended(beams, candidates, ended_BC, log_p_BKV, plan, group)
    order_BK = ended_BC.to(torch.int8).sort(dim=1, stable=True).indices[:, : plan.size]
    score_BC = candidates.score_BC.masked_fill(ended_BC, -torch.inf)
    return Candidates(*(part.gather(1, order_BK) for part in (score_BC, *candidates[1:])))


def _append(beams: _Beams, log_p_BKV: Tensor | None, picked: Candidates) -> None:
    score_BK, parent_BK, token_BK = picked
    index = parent_BK.unsqueeze(-1).expand(-1, -1, beams.tokens_BKL.shape[2])
    beams.score_BK = score_BK
    beams.tokens_BKL = torch.cat([beams.tokens_BKL.gather(1, index), token_BK.unsqueeze(-1)], -1)
    if beams.gains_BKL is not None:
        assert log_p_BKV is not None
        gain_BK = log_p_BKV.flatten(1).gather(1, parent_BK * log_p_BKV.shape[2] + token_BK)
        beams.gains_BKL = torch.cat([beams.gains_BKL.gather(1, index), gain_BK.unsqueeze(-1)], -1)


def _likeliest(beams: _Beams, logits_BKV: Tensor, plan: _Plan) -> Candidates:
    """The best children of all hypotheses of a sentence, where no rule asks for the probability of each."""
    vocabulary = logits_BKV.shape[2]
    count = plan.candidates(vocabulary)
    score_BC, flat_BC = likeliest(logits_BKV, beams.score_BK, count, beams.rules.forbidden)
    return Candidates(score_BC, flat_BC // vocabulary, flat_BC % vocabulary)


def _candidates(beams: _Beams, log_p_BKV: Tensor, plan: _Plan, group: int, used_BV: Tensor | None) -> Candidates:
    """The best children of a group's hypotheses; parents are numbered through all groups."""
    columns = plan.columns(group)
    total_BKV = beams.score_BK[:, columns].unsqueeze(-1) + log_p_BKV[:, columns]
    if beams.required is not None:
        return beams.required.candidates(total_BKV, beams.tokens_BKL, plan.limits.eos)
    ranking = total_BKV if used_BV is None else total_BKV - plan.diversity * used_BV.unsqueeze(1)
    score_BC, flat_BC = ranking.flatten(1).topk(plan.candidates(total_BKV.shape[2]), dim=1)
    if used_BV is not None:
        score_BC = total_BKV.flatten(1).gather(1, flat_BC)
    vocabulary = log_p_BKV.shape[2]
    return Candidates(score_BC, flat_BC // vocabulary + columns.start, flat_BC % vocabulary)


def _collect_ended(
    beams: _Beams, candidates: Candidates, ended_BC: Tensor, log_p_BKV: Tensor | None, plan: _Plan, group: int
) -> None:
    """Store the hypotheses whose end of sentence is among the k first candidates of their group."""
    score_BC, parent_BC, _ = candidates
    rows, columns = (ended_BC[:, : plan.size] & ~score_BC[:, : plan.size].isneginf()).nonzero(as_tuple=True)
    divisor = plan.penalty.divisor(beams.tokens_BKL.shape[2] + 1)
    parents = parent_BC[rows, columns]
    words = beams.tokens_BKL[rows, parents].tolist()
    ends: list[list[float]] = [[]] * len(words)
    if beams.gains_BKL is not None:
        assert log_p_BKV is not None
        ends = log_p_BKV[rows, parents, plan.limits.eos].unsqueeze(1).tolist()
    scores = score_BC[rows, columns].tolist()
    for row, parent, tokens, logp, end in zip(rows.tolist(), parents.tolist(), words, scores, ends, strict=True):
        hypothesis = Hypothesis(tokens, logp / divisor, logp, True, beams.gains(row, parent, end))
        beams.done[beams.sentences[row]][group].append(hypothesis)


def _cut_off(beams: _Beams, stuck: list[list[bool]], plan: _Plan) -> None:
    """Groups at their length limit, or stuck without an answer, hand over what has not just ended."""
    length = beams.tokens_BKL.shape[2]
    for row, sentence in enumerate(beams.sentences):
        for group, done in enumerate(beams.done[sentence]):
            at_limit = length >= plan.room[sentence] and len(done) < plan.size
            if at_limit or (stuck[row][group] and not done):
                done += _unfinished(beams, plan, row, group, [hypothesis.tokens for hypothesis in done])


def _unfinished(beams: _Beams, plan: _Plan, row: int, group: int, ended: list[list[int]]) -> list[Hypothesis]:
    divisor = plan.penalty.divisor(beams.tokens_BKL.shape[2] + 1)
    columns = range(plan.width)[plan.columns(group)]
    tokens, scores = beams.tokens_BKL[row].tolist(), beams.score_BK[row].tolist()
    return [
        Hypothesis(tokens[column], scores[column] / divisor, scores[column], False, beams.gains(row, column, []))
        for column in columns
        if scores[column] > -torch.inf and tokens[column] not in ended
    ]


def _dead(score_BK: Tensor, plan: _Plan) -> list[list[bool]]:
    """Of each sentence and group, whether nothing in it can grow."""
    dead: list[list[bool]] = score_BK.isneginf().view(len(score_BK), plan.groups, -1).all(-1).tolist()
    return dead


def _going_on(beams: _Beams, dead: list[list[bool]], plan: _Plan) -> list[int]:
    """Batch rows whose sentence needs more steps."""
    length = beams.tokens_BKL.shape[2]
    rows = []
    for row, sentence in enumerate(beams.sentences):
        over = [gone or len(done) >= plan.size for gone, done in zip(dead[row], beams.done[sentence], strict=True)]
        if length <= plan.room[sentence] and not all(over):
            rows.append(row)
            if any(over):
                _silence(beams.score_BK[row], over, plan)
    return rows


def _silence(score_K: Tensor, over: list[bool], plan: _Plan) -> None:
    """Groups that have enough stop growing while others of their sentence go on."""
    for group in range(plan.groups):
        if over[group]:
            score_K[plan.columns(group)] = -torch.inf


def _merged(groups: list[list[Hypothesis]]) -> list[Hypothesis]:
    """The hypotheses of all groups, best first; what several of them found stands there once."""
    best: dict[tuple[tuple[int, ...], bool], Hypothesis] = {}
    for hypothesis in ranked(one for group in groups for one in group):
        best.setdefault((tuple(hypothesis.tokens), hypothesis.finished), hypothesis)
    return list(best.values())
