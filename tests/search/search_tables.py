"""Models whose every answer can be listed, for tests of the search."""

# R rows, B sentences, V vocabulary

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s.search import LengthPenalty, Limits

BOS, EOS = 1, 2
NO_PENALTY = LengthPenalty("none", 1.0)
WU = LengthPenalty("wu", 1.0)


@dataclass(frozen=True)
class Table:
    """A Stepper whose logits depend on the sentence and on the whole history: state is a hash of the tokens so far."""

    vocabulary: int
    seed: int = 0

    def begin(self, memory: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        (sentence_B,) = memory
        return sentence_B.clone(), (torch.zeros_like(sentence_B),)

    def step(
        self, token_R: Tensor, state: tuple[Tensor, tuple[Tensor]], memory: tuple[Tensor]
    ) -> tuple[Tensor, object]:
        own_R, (hash_R,) = state
        (sentence_B,) = memory
        # The beams of a sentence stand together: what the row carries is what the memory says.
        assert torch.equal(own_R, sentence_B.repeat_interleave(len(own_R) // len(sentence_B)))
        hash_R = (hash_R * 31 + token_R * 7 + own_R + 1) % 99_991
        rows = [torch.randn(self.vocabulary, generator=self._generator(int(h))) * 2 for h in hash_R]
        return torch.stack(rows), (own_R, (hash_R,))

    def _generator(self, value: int) -> torch.Generator:
        return torch.Generator().manual_seed(value * 1_009 + self.seed)

    def reorder(self, state: tuple[Tensor, tuple[Tensor]], index_R: Tensor) -> tuple[Tensor, tuple[Tensor]]:
        return state[0][index_R], (state[1][0][index_R],)

    def select(self, memory: tuple[Tensor], sentences_B: Tensor) -> tuple[Tensor]:
        return (memory[0][sentences_B],)


def limits(*longest: int, forbidden: tuple[int, ...] = (0, BOS)) -> Limits:
    return Limits(bos=BOS, eos=EOS, longest=longest, forbidden=forbidden)


def sentences(*numbers: int) -> tuple[Tensor]:
    return (torch.tensor(numbers, dtype=torch.int64),)


def log_p(model: Table, sentence: int, history: tuple[int, ...]) -> Tensor:
    """log p(next token | history)."""
    memory = sentences(sentence)
    state = model.begin(memory)
    logits = torch.empty(0)
    for token in (BOS, *history):
        logits, state = model.step(torch.tensor([token]), state, memory)
    return logits[0].log_softmax(-1)


def brute_force(model: Table, sentence: int, longest: int, exponent: float) -> list[tuple[float, list[int]]]:
    """Every ended sequence of at most `longest` tokens with its score, best first."""
    words = [token for token in range(model.vocabulary) if token not in (0, BOS, EOS)]
    found = []
    for length in range(longest + 1):
        for tokens in itertools.product(words, repeat=length):
            total = sum(float(log_p(model, sentence, tokens[:i])[token]) for i, token in enumerate((*tokens, EOS)))
            found.append((total / ((5 + length + 1) / 6) ** exponent, list(tokens)))
    return sorted(found, key=lambda item: -item[0])


class Fixed:
    """The same distribution at every step."""

    def __init__(self, probabilities: list[float]) -> None:
        self.logits = torch.tensor(probabilities).log()

    def begin(self, memory: tuple[Tensor]) -> tuple[Tensor]:
        return (torch.zeros(len(memory[0]), 1),)

    def step(self, token_R: Tensor, state: tuple[Tensor], memory: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        del memory
        return self.logits.expand(len(token_R), -1).clone(), state

    def reorder(self, state: tuple[Tensor], index_R: Tensor) -> tuple[Tensor]:
        return (state[0][index_R],)

    def select(self, memory: tuple[Tensor], sentences_B: Tensor) -> tuple[Tensor]:
        return (memory[0][sentences_B],)
