"""Greedy and beam search over one protocol: any model with `begin`, `step`, `reorder` and `select` is served.

Sentences that are finished leave the batch, so a long one does not make the others wait for its arithmetic.
"""

# B sentences alive, K beams, R rows (B x K, the beams of a sentence together), V vocabulary, L tokens so far

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

StateT = TypeVar("StateT")
MemoryT = TypeVar("MemoryT")


class Stepper(Protocol[StateT, MemoryT]):
    """One step of a model. State is a nested tuple of batch-first tensors; memory belongs to the source."""

    def begin(self, memory: MemoryT) -> StateT: ...
    def step(self, token_R: Tensor, state: StateT, memory: MemoryT) -> tuple[Tensor, StateT]: ...
    def reorder(self, state: StateT, index_R: Tensor) -> StateT: ...
    def select(self, memory: MemoryT, sentences_B: Tensor) -> MemoryT: ...


class Hypothesis(NamedTuple):
    """One answer."""

    tokens: list[int]
    """Without the end of sentence."""
    score: float
    """What hypotheses are ranked by: log-probability over the length penalty."""
    log_probability: float
    """Of all tokens and the end of sentence, in nats."""
    finished: bool
    """False where the length limit cut it off."""


@dataclass(frozen=True)
class Limits:
    """What a search may write.

    Attributes:
        bos, eos: ids of begin and end of sentence.
        forbidden: ids that are never written (padding, begin of sentence).
        longest: most tokens of each sentence, the end of sentence not counted.
    """

    bos: int
    eos: int
    longest: Sequence[int]
    forbidden: Sequence[int] = ()


def penalty(length: int, exponent: float) -> float:
    """((5 + length) / 6)^exponent (Wu et al. 2016, equation 14); `length` counts the end of sentence."""
    return math.pow((5.0 + length) / 6.0, exponent)


def _log_probabilities(logits_RV: Tensor, limits: Limits) -> Tensor:
    log_p_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32)).log_softmax(-1)
    if limits.forbidden:
        log_p_RV[:, list(limits.forbidden)] = -torch.inf
    return log_p_RV


@torch.inference_mode()
def greedy(
    model: Stepper[StateT, MemoryT], memory: MemoryT, limits: Limits, *, length_penalty: float = 0.0
) -> list[Hypothesis]:
    """The likeliest next token at each step; one hypothesis a sentence, in the order of the memory."""
    count = len(limits.longest)
    if not count:
        return []
    state = model.begin(memory)
    device = next(_tensors(state)).device
    token_B = torch.full((count,), limits.bos, device=device)
    alive = list(range(count))
    tokens: list[list[int]] = [[] for _ in range(count)]
    total = [0.0] * count
    finished = [False] * count
    while alive:
        logits_BV, state = model.step(token_B, state, memory)
        best_B, token_B = _log_probabilities(logits_BV, limits).max(-1)
        going = []
        for row, (sentence, token, gain) in enumerate(zip(alive, token_B.tolist(), best_B.tolist(), strict=True)):
            cut = token != limits.eos and len(tokens[sentence]) >= limits.longest[sentence]
            if not cut:
                total[sentence] += gain
            if token == limits.eos:
                finished[sentence] = True
            elif not cut:
                tokens[sentence].append(token)
                going.append(row)
        if len(going) < len(alive):
            alive = [alive[row] for row in going]
            index = torch.tensor(going, device=device, dtype=torch.int64)
            state, memory, token_B = model.reorder(state, index), model.select(memory, index), token_B[index]
    return [
        Hypothesis(words, logp / penalty(len(words) + 1, length_penalty), logp, done)
        for words, logp, done in zip(tokens, total, finished, strict=True)
    ]


@dataclass
class _Beams:
    """The unfinished hypotheses of all sentences alive."""

    sentences: list[int]
    tokens_BKL: Tensor
    score_BK: Tensor
    done: dict[int, list[Hypothesis]] = field(default_factory=dict)


@torch.inference_mode()
def beam(
    model: Stepper[StateT, MemoryT], memory: MemoryT, limits: Limits, *, width: int, length_penalty: float = 1.0
) -> list[list[Hypothesis]]:
    """Beam search: up to `width` hypotheses a sentence, best first, in the order of the memory.

    A sentence leaves when `width` of its hypotheses are finished or its length limit is reached; there a hypothesis may
    still end, and those that do not are cut off and rank behind every finished one.
    """
    count = len(limits.longest)
    if not count:
        return []
    state = model.begin(memory)
    device = next(_tensors(state)).device
    state = model.reorder(state, torch.arange(count, device=device).repeat_interleave(width))
    score_BK = torch.full((count, width), -torch.inf, device=device)
    score_BK[:, 0] = 0.0  # all beams are alike before the first step, so only one may have children
    empty = torch.empty(count, width, 0, dtype=torch.int64, device=device)
    beams = _Beams(list(range(count)), empty, score_BK, {sentence: [] for sentence in range(count)})
    token_R = torch.full((count * width,), limits.bos, device=device)
    while True:
        logits_RV, state = model.step(token_R, state, memory)
        log_p_RV = _log_probabilities(logits_RV, limits)
        parent_BK, keep = _extend(beams, log_p_RV.view(len(beams.sentences), width, -1), limits, length_penalty)
        if not keep:
            break
        offset_B1 = torch.arange(parent_BK.shape[0], device=device).unsqueeze(1) * width
        rows_BK = parent_BK + offset_B1
        if len(keep) < parent_BK.shape[0]:
            index = torch.tensor(keep, device=device, dtype=torch.int64)
            _narrow(beams, keep, index)
            rows_BK, memory = rows_BK[index], model.select(memory, index)
        state = model.reorder(state, rows_BK.flatten())
        token_R = beams.tokens_BKL[:, :, -1].flatten()
    return [_ranked(beams.done[sentence])[:width] for sentence in range(count)]


def _extend(beams: _Beams, log_p_BKV: Tensor, limits: Limits, length_penalty: float) -> tuple[Tensor, list[int]]:
    """Grow every beam by one token. Returns the parent (B, K) of each new beam and the batch rows that go on."""
    _, width, vocabulary = log_p_BKV.shape
    total = (beams.score_BK.unsqueeze(-1) + log_p_BKV).flatten(1)
    # At most `width` of the candidates end a sentence, so twice as many always leave `width` that go on.
    score_BC, flat_BC = total.topk(min(2 * width, total.shape[1]), dim=1)
    parent_BC, token_BC = flat_BC // vocabulary, flat_BC % vocabulary
    ended_BC = token_BC == limits.eos
    _collect_ended(beams, score_BC, parent_BC, ended_BC, width, length_penalty)
    _cut_off(beams, limits, width, length_penalty)
    order_BK = ended_BC.to(torch.int8).sort(dim=1, stable=True).indices[:, :width]
    parent_BK = parent_BC.gather(1, order_BK)
    beams.score_BK = score_BC.masked_fill(ended_BC, -torch.inf).gather(1, order_BK)
    history = beams.tokens_BKL.gather(1, parent_BK.unsqueeze(-1).expand(-1, -1, beams.tokens_BKL.shape[2]))
    beams.tokens_BKL = torch.cat([history, token_BC.gather(1, order_BK).unsqueeze(-1)], -1)
    return parent_BK, _going_on(beams, limits, width)


def _collect_ended(
    beams: _Beams, score_BC: Tensor, parent_BC: Tensor, ended_BC: Tensor, width: int, length_penalty: float
) -> None:
    """Store the hypotheses whose end of sentence is among the `width` best candidates of their sentence."""
    rows, columns = (ended_BC[:, :width] & ~score_BC[:, :width].isneginf()).nonzero(as_tuple=True)
    divisor = penalty(beams.tokens_BKL.shape[2] + 1, length_penalty)
    words = beams.tokens_BKL[rows, parent_BC[rows, columns]].tolist()
    for row, tokens, logp in zip(rows.tolist(), words, score_BC[rows, columns].tolist(), strict=True):
        beams.done[beams.sentences[row]].append(Hypothesis(tokens, logp / divisor, logp, True))


def _cut_off(beams: _Beams, limits: Limits, width: int, length_penalty: float) -> None:
    """Sentences at their length limit hand over what they have, but for the beams that have just ended."""
    length = beams.tokens_BKL.shape[2]
    divisor = penalty(length + 1, length_penalty)
    for row, sentence in enumerate(beams.sentences):
        done = beams.done[sentence]
        if length < limits.longest[sentence] or len(done) >= width:
            continue
        ended = [hypothesis.tokens for hypothesis in done]
        for tokens, logp in zip(beams.tokens_BKL[row].tolist(), beams.score_BK[row].tolist(), strict=True):
            if logp > -torch.inf and tokens not in ended:
                done.append(Hypothesis(tokens, logp / divisor, logp, False))


def _going_on(beams: _Beams, limits: Limits, width: int) -> list[int]:
    """Batch rows whose sentence needs more steps."""
    length = beams.tokens_BKL.shape[2]
    dead = beams.score_BK.isneginf().all(1).tolist()
    return [
        row
        for row, sentence in enumerate(beams.sentences)
        if not dead[row] and len(beams.done[sentence]) < width and length <= limits.longest[sentence]
    ]


def _narrow(beams: _Beams, keep: list[int], index: Tensor) -> None:
    beams.sentences = [beams.sentences[row] for row in keep]
    beams.tokens_BKL, beams.score_BK = beams.tokens_BKL[index], beams.score_BK[index]


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda item: (not item.finished, -item.score))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
