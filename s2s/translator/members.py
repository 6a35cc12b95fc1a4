"""The models that answer together: sources to memory, and where they looked while they wrote."""

# B sources, S source positions, T target positions (the end of sentence among them), R answers

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.models import Memory, Seq2Seq
from s2s.search import Ensemble, Stepper
from s2s.text.vocab import BOS, PAD

Ids = Sequence[int]


class Member(NamedTuple):
    """One model, in evaluation mode."""

    model: Seq2Seq
    reverse_source: bool

    def encode(self, sources: Sequence[Ids], device: torch.device) -> Memory:
        """The memory of sources that are not empty."""
        order = [ids[::-1] for ids in sources] if self.reverse_source else sources
        lengths = torch.tensor([len(ids) for ids in sources])
        return self.model.encode(_padded(order).to(device), lengths)

    def attention(
        self, sources: Sequence[Ids], answers: Sequence[tuple[int, Ids]], device: torch.device
    ) -> list[Tensor]:
        """(T, S) weights of each answer, which comes with the number of its source."""
        rows = torch.tensor([row for row, _ in answers], device=device)
        memory = self.model.select(self.encode(sources, device), rows)
        inputs = _padded([[BOS, *ids] for _, ids in answers]).to(device)
        _, weights_RTS = self.model.decoder(inputs, memory)
        found = [weights_RTS[i, : len(ids) + 1, : len(sources[row])].float() for i, (row, ids) in enumerate(answers)]
        return [weights.flip(1) for weights in found] if self.reverse_source else found


class Members(NamedTuple):
    """One model or several with the same vocabularies, on one device."""

    models: tuple[Member, ...]
    device: torch.device

    @property
    def stepper(self) -> Stepper[Any, Any]:
        """What the search takes."""
        return self.models[0].model if len(self.models) == 1 else Ensemble([member.model for member in self.models])

    @property
    def attend(self) -> bool:
        """Whether there is attention; of several models those without have no say."""
        return any(member.model.decoder.attention is not None for member in self.models)

    def encode(self, sources: Sequence[Ids]) -> Any:
        """The memory that belongs to the stepper."""
        found = tuple(member.encode(sources, self.device) for member in self.models)
        return found[0] if len(found) == 1 else found

    @torch.inference_mode()
    def attention(self, sources: Sequence[Ids], answers: Sequence[tuple[int, Ids]]) -> list[Tensor]:
        """(T, S) weights of each answer, the mean of all models, on the CPU.

        The answers are read once more, all at once: a search that nobody asked where it looked keeps no weights.
        """
        if not answers:
            return []
        attending = [member for member in self.models if member.model.decoder.attention is not None]
        found = [member.attention(sources, answers, self.device) for member in attending]
        return [torch.stack(weights).mean(0).cpu() for weights in zip(*found, strict=True)]


def _padded(rows: Sequence[Ids]) -> Tensor:
    table = torch.full((len(rows), max(map(len, rows))), PAD)
    for row, ids in enumerate(rows):
        table[row, : len(ids)] = torch.tensor(ids)
    return table
