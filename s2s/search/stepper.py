"""What a search needs of a model, and several models as one."""

# B sentences alive, R rows (the hypotheses of a sentence together), V vocabulary, M models

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from s2s.kernels.steps import Way

StateT = TypeVar("StateT")
MemoryT = TypeVar("MemoryT")


class Stepper(Protocol[StateT, MemoryT]):
    """One step of a model. State is a nested tuple of batch-first tensors; memory belongs to the source."""

    def begin(self, memory: MemoryT) -> StateT: ...
    def step(self, token_R: Tensor, state: StateT, memory: MemoryT) -> tuple[Tensor, StateT]: ...
    def reorder(self, state: StateT, index_R: Tensor) -> StateT: ...
    def select(self, memory: MemoryT, sentences_B: Tensor) -> MemoryT: ...


@runtime_checkable
class Goer(Protocol):
    """A Stepper that may go all the way of a greedy search by itself, without coming back after each step."""

    def greedily(self, memory: Any, way: Way) -> tuple[Tensor, Tensor] | None:
        """Tokens and their log-probabilities as of `s2s.kernels.steps.Program.greedily`; None: it has to be led."""
        ...


class Ensemble:
    """p(y_t | ...) = 1/M sum_m p_m(y_t | ...): a Stepper made of several that write the same vocabulary.

    State and memory are tuples of the members' own.
    """

    def __init__(self, members: Sequence[Stepper[Any, Any]]) -> None:
        self.members = tuple(members)

    def begin(self, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(member.begin(part) for member, part in zip(self.members, memory, strict=True))

    def step(self, token_R: Tensor, state: tuple[Any, ...], memory: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Log-probabilities (R, V) of the average, which are logits of the same distribution."""
        logits, states = [], []
        for member, own, part in zip(self.members, state, memory, strict=True):
            logits_RV, own = member.step(token_R, own, part)
            logits.append(log_softmax(logits_RV))
            states.append(own)
        return torch.stack(logits).logsumexp(0) - math.log(len(logits)), tuple(states)

    def reorder(self, state: tuple[Any, ...], index_R: Tensor) -> tuple[Any, ...]:
        return tuple(member.reorder(own, index_R) for member, own in zip(self.members, state, strict=True))

    def select(self, memory: tuple[Any, ...], sentences_B: Tensor) -> tuple[Any, ...]:
        return tuple(member.select(part, sentences_B) for member, part in zip(self.members, memory, strict=True))


def log_softmax(logits_RV: Tensor) -> Tensor:
    """In single precision at least: half precision is coarse where thousands of words share the rest."""
    return logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32)).log_softmax(-1)


def device_of(state: object) -> torch.device:
    """Where a state is."""
    return next(tensors(state)).device


def tensors(value: object) -> Iterator[Tensor]:
    """All that a nested tuple holds, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from tensors(part)
