"""Greedy search and sampling: every hypothesis goes its own way, and none is given up for another."""

# N sentences, B of them alive, K hypotheses of a sentence, V vocabulary, T positions

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from s2s.kernels.likeliest import likeliest
from s2s.kernels.steps import Way
from s2s.search.hypothesis import Hypothesis, LengthPenalty
from s2s.search.limits import Limits, Rules
from s2s.search.sampling import Sampling, draw, uniform_numbers
from s2s.search.stepper import Goer, MemoryT, StateT, Stepper, device_of, log_softmax, tensors
from s2s.search.straight import straight

Choose = Callable[[Tensor, Rules, "_Written", int], tuple[Tensor, Tensor]]
"""From logits (B, K, V), the rules, what is written and the position: tokens (B, K) and their log-probabilities."""


def greedy(
    model: Stepper[StateT, MemoryT],
    memory: MemoryT,
    limits: Limits,
    *,
    penalty: LengthPenalty,
) -> list[Hypothesis]:
    """The likeliest next token at each step; one hypothesis a sentence, in the order of the memory."""
    if (found := _at_once(model, memory, limits, penalty)) is not None:
        return found

    def best(logits_B1V: Tensor, rules: Rules, written: _Written, position: int) -> tuple[Tensor, Tensor]:
        if rules.simple:
            none_B1 = logits_B1V.new_zeros(len(logits_B1V), 1)
            gain_B1, token_B1 = likeliest(logits_B1V, none_B1, 1, rules.forbidden)
        else:
            gain_B1, token_B1 = _log_p(logits_B1V, rules, written, position).max(-1)
        return token_B1, gain_B1

    return [one for (one,) in _walk(model, memory, limits, 1, best, penalty)]


def sample(
    model: Stepper[StateT, MemoryT],
    memory: MemoryT,
    limits: Limits,
    *,
    sampling: Sampling,
    count: int = 1,
    penalty: LengthPenalty,
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """`count` answers a sentence, drawn one token after the other, in the order in which they were drawn.

    Args:
        numbers: of the sentences; with the seed they decide what is drawn (by default 0, 1, 2, ...).
    """
    room = limits.room()
    uniform = uniform_numbers(sampling.seed, range(len(room)) if numbers is None else numbers, count, room)

    def drawn(logits_BKV: Tensor, rules: Rules, written: _Written, position: int) -> tuple[Tensor, Tensor]:
        log_p_BKV = _log_p(logits_BKV, rules, written, position)
        token_BK = draw(log_p_BKV, uniform[written.sentences, :, position].to(log_p_BKV), sampling)
        return token_BK, log_p_BKV.gather(-1, token_BK.unsqueeze(-1)).squeeze(-1)

    return _walk(model, memory, limits, count, drawn, penalty)


@torch.inference_mode()
def _at_once(
    model: Stepper[StateT, MemoryT], memory: MemoryT, limits: Limits, penalty: LengthPenalty
) -> list[Hypothesis] | None:
    """A greedy search by a model that goes by itself, or on a GPU; None where it has to be led, or by these limits."""
    room = limits.room()
    first = next(tensors(memory), None)
    device = torch.device("cpu") if first is None else first.device
    if not room or not (isinstance(model, Goer) or device.type == "cuda"):
        return None
    rules = Rules.of(limits, device)
    if not rules.simple:
        return None
    way = Way(limits.bos, limits.eos, room, rules.forbidden)
    found = model.greedily(memory, way) if isinstance(model, Goer) else None
    if found is None and device.type == "cuda":
        found = straight(model, memory, way)
    if found is None:
        return None
    tokens, gains = (part.tolist() for part in found)
    return [_hypothesis(*one, limits.eos, penalty) for one in zip(tokens, gains, room, strict=True)]


@torch.inference_mode()
def _walk(
    model: Stepper[StateT, MemoryT],
    memory: MemoryT,
    limits: Limits,
    count: int,
    choose: Choose,
    penalty: LengthPenalty,
) -> list[list[Hypothesis]]:
    room = limits.room()
    if not room:
        return []
    state = model.begin(memory)
    device = device_of(state)
    if count > 1:
        state = model.reorder(state, torch.arange(len(room), device=device).repeat_interleave(count))
    rules = Rules.of(limits, device)
    room_B1 = torch.tensor(room, device=device).unsqueeze(1)
    # What a hypothesis writes beyond its end or its room, while others of its sentence go on, is left out at the end.
    written = _Written(list(range(len(room))), *_tables(len(room), count, max(room) + 1, device))
    token_R = torch.full((len(room) * count,), limits.bos, device=device)
    going_BK = torch.ones(len(room), count, dtype=torch.bool, device=device)
    found: list[list[Hypothesis]] = [[] for _ in room]
    for position in range(max(room) + 1):
        logits_RV, state = model.step(token_R, state, memory)
        logits_BKV = logits_RV.view(len(written.sentences), count, -1)
        token_BK, gain_BK = choose(logits_BKV, rules, written, position)
        written.tokens_BKT[:, :, position] = token_BK
        written.gains_BKT[:, :, position] = gain_BK
        going_BK = going_BK & (token_BK != limits.eos) & (position < room_B1)
        stays = (going_BK.any(1) if count > 1 else going_BK.squeeze(1)).tolist()
        if not all(stays):
            for sentence, own in written.leaving(stays):
                found[sentence] = [_hypothesis(*one, room[sentence], limits.eos, penalty) for one in own]
            if not any(stays):
                break
            kept = torch.tensor([row for row, stay in enumerate(stays) if stay], device=device)
            rows = (kept.unsqueeze(1) * count + torch.arange(count, device=device)).flatten() if count > 1 else kept
            state, memory, rules = model.reorder(state, rows), model.select(memory, kept), rules.select(kept)
            written = written.select(kept)
            going_BK, room_B1, token_BK = (part.index_select(0, kept) for part in (going_BK, room_B1, token_BK))
        token_R = token_BK.flatten()
    return found


class _Written(NamedTuple):
    """What the sentences alive have written so far; their numbers first."""

    sentences: list[int]
    tokens_BKT: Tensor
    gains_BKT: Tensor

    def select(self, index_B: Tensor) -> _Written:
        numbers = [self.sentences[row] for row in index_B.tolist()]
        return _Written(numbers, self.tokens_BKT.index_select(0, index_B), self.gains_BKT.index_select(0, index_B))

    def leaving(self, stays: Sequence[bool]) -> Iterator[tuple[int, Iterator[tuple[list[int], list[float]]]]]:
        """Each sentence that does not stay, with the tokens and their log-probabilities of all its hypotheses."""
        for row, (sentence, stay) in enumerate(zip(self.sentences, stays, strict=True)):
            if not stay:
                tokens, gains = self.tokens_BKT[row].tolist(), self.gains_BKT[row].tolist()
                yield sentence, zip(tokens, gains, strict=True)


def _log_p(logits_BKV: Tensor, rules: Rules, written: _Written, position: int) -> Tensor:
    """-inf where a token may not stand."""
    log_p_BKV = log_softmax(logits_BKV)
    rules.apply(log_p_BKV, written.tokens_BKT[:, :, :position])
    return log_p_BKV


def _tables(sentences: int, count: int, positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    tokens_BKT = torch.zeros(sentences, count, positions, dtype=torch.int64, device=device)
    return tokens_BKT, torch.zeros(tokens_BKT.shape, device=device)


def _hypothesis(tokens: list[int], gains: list[float], room: int, eos: int, penalty: LengthPenalty) -> Hypothesis:
    """What stands before the end of sentence, or in the room where there is none."""
    finished = eos in tokens[: room + 1]
    length = tokens.index(eos) if finished else room
    own = gains[: length + finished]
    total = sum(own)
    return Hypothesis(tokens[:length], total / penalty.divisor(length + 1), total, finished, own)
