"""The models that answer together: sources to memory, and what they make of targets that are given."""

# B sources, S source positions, T target positions (the end of sentence among them), R answers, N tokens of all
# targets, C of them at once

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.models import HRED, Decoded, Memory, Seq2Seq
from s2s.models.nested import map_tensors
from s2s.models.one_call import one_call
from s2s.models.shortened import Shortened
from s2s.search import Ensemble, Stepper
from s2s.search.stepper import log_softmax
from s2s.text.turns import split_turns
from s2s.text.vocab import BOS, EOS, PAD

Ids = Sequence[int]

_ROWS = 1_024  # positions of the output layer at once: with 32,000 tokens their logits take 131 MB


class Member(NamedTuple):
    """One model, in evaluation mode."""

    model: Seq2Seq | HRED
    reverse_source: bool

    def encode(
        self,
        sources: Sequence[Ids],
        device: torch.device,
        *,
        extended: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> Memory:
        """The memory of sources. `extended`: see `Seq2Seq.encode`. `seeds`: for each source what a latent variable is
        drawn with; None: it has its mean."""
        if isinstance(self.model, HRED):
            return _of_turns(self.model, [split_turns(ids) for ids in sources], device, seeds)
        order = [ids[::-1] for ids in sources] if self.reverse_source else sources
        lengths = torch.tensor([len(ids) for ids in sources])
        return self.model.encode(_padded(order).to(device), lengths, extended=extended)

    @property
    def attends(self) -> bool:
        """Whether its attention is to the tokens of a source. (That of dialogues is to the words of all turns.)"""
        return isinstance(self.model, Seq2Seq) and self.model.decoder.attention is not None

    def attention(self, memory: Memory, sources: Sequence[Ids], answers: Sequence[tuple[int, Ids]]) -> list[Tensor]:
        """(T, S) weights of each answer, which comes with the number of its source."""
        rows = torch.tensor([row for row, _ in answers], device=memory.mask.device)
        inputs_RT = _inputs([ids for _, ids in answers], rows)
        weights_RTS = self.model.decode(inputs_RT, self.model.select(memory, rows)).weights
        assert weights_RTS is not None
        found = [weights_RTS[i, : len(ids) + 1, : len(sources[row])].float() for i, (row, ids) in enumerate(answers)]
        return [weights.flip(1) for weights in found] if self.reverse_source else found

    def read(self, memory: Memory, targets: Sequence[Ids]) -> tuple[Decoded, Tensor]:
        """What the output layer reads of all tokens of the targets, one target after the other, and the (N, S) source
        of each, for models that copy."""
        inputs_BT = _inputs(targets, memory.mask)
        decoded = self.model.decode(inputs_BT, memory, weights=self.model.copies)
        real_BT = inputs_BT != PAD
        source_BTS = memory.source.unsqueeze(1).expand(-1, inputs_BT.shape[1], -1)
        return map_tensors(lambda part: part[real_BT], decoded), source_BTS[real_BT]


class Reading(NamedTuple):
    """Given targets, token by token, each with its end, one target after the other."""

    log_p_N: Tensor
    right_N: Tensor
    """Whether no token is likelier."""


class Members(NamedTuple):
    """One model or several with the same vocabularies, on one device."""

    models: tuple[Member, ...]
    device: torch.device

    @property
    def attend(self) -> bool:
        """Whether there is attention to the source's tokens; of several models those without have no say."""
        return any(member.attends for member in self.models)

    @property
    def copy(self) -> bool:
        """Whether words of the source are copied; then sources and answers have ids of `text.extended`."""
        return any(member.model.copies for member in self.models)

    def encode(self, sources: Sequence[Ids], seeds: Sequence[int] | None = None) -> Any:
        """The memory that belongs to the stepper; `seeds` as of `Member.encode`."""
        found = self._memories(sources, seeds)
        return found[0] if len(found) == 1 else found

    def stepper(self, memory: Any, width: int, token_X: Tensor | None = None) -> Stepper[Any, Any]:
        """What a search of this memory takes that keeps so many hypotheses of each sentence; `token_X`: among these."""
        memories = (memory,) if len(self.models) == 1 else memory
        steppers: list[Stepper[Any, Any]] = []
        for member, part in zip(self.models, memories, strict=True):
            count = len(part.mask) * width
            short = token_X is not None and Shortened(member.model, token_X, part, count)
            steppers.append(short or one_call(member.model, part, count))
        return steppers[0] if len(steppers) == 1 else Ensemble(steppers)

    def _memories(self, sources: Sequence[Ids], seeds: Sequence[int] | None = None) -> tuple[Memory, ...]:
        return tuple(member.encode(sources, self.device, extended=self.copy, seeds=seeds) for member in self.models)

    @torch.inference_mode()
    def read(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> Reading:
        """Teacher forcing: log p of each token of the targets, p the mean of all models. The logits are made a few rows
        at a time."""
        target_N = torch.tensor([i for ids in targets for i in (*ids, EOS)], device=self.device)
        parts = [
            member.read(memory, targets) for member, memory in zip(self.models, self._memories(sources), strict=True)
        ]
        log_p, right = [], []
        for start in range(0, len(target_N), _ROWS):
            chunk = slice(start, start + _ROWS)
            log_p_CX = self._log_probabilities(parts, chunk)
            log_p.append(log_p_CX.gather(1, target_N[chunk].unsqueeze(1)).squeeze(1))
            right.append(log_p_CX.argmax(1) == target_N[chunk])
        return Reading(torch.cat(log_p), torch.cat(right))

    def _log_probabilities(self, parts: Sequence[tuple[Decoded, Tensor]], chunk: slice) -> Tensor:
        found = []
        for member, (decoded, source_NS) in zip(self.models, parts, strict=True):
            rows = map_tensors(lambda part: part[chunk], decoded)
            found.append(log_softmax(member.model.logits(rows, source_NS[chunk])))
        return found[0] if len(found) == 1 else torch.stack(found).logsumexp(0) - math.log(len(found))

    @torch.inference_mode()
    def attention(self, sources: Sequence[Ids], answers: Sequence[tuple[int, Ids]]) -> list[Tensor]:
        """(T, S) weights of each answer, the mean of all models, on the CPU.

        The answers are read once more, all at once: a search that nobody asked where it looked keeps no weights.
        """
        if not answers:
            return []
        attending = [member for member in self.models if member.attends]
        found = [
            member.attention(member.encode(sources, self.device, extended=self.copy), sources, answers)
            for member in attending
        ]
        return [torch.stack(weights).mean(0).cpu() for weights in zip(*found, strict=True)]


def _of_turns(
    model: HRED, histories: Sequence[Sequence[Ids]], device: torch.device, seeds: Sequence[int] | None
) -> Memory:
    """One row a history."""
    turns = [[*turn, EOS] for history in histories for turn in history]
    words_RT, lengths_R = _padded(turns).to(device), torch.tensor([len(turn) for turn in turns], dtype=torch.int64)
    counts_B = torch.tensor([len(history) for history in histories], dtype=torch.int64)
    noise_BZ = None
    if model.latent is not None:
        noise_BZ = torch.zeros(len(histories), model.latent.size)
        for row_Z, seed in zip(noise_BZ, seeds or (), strict=False):
            row_Z.normal_(generator=torch.Generator().manual_seed(seed))
    return model.encode(words_RT, lengths_R.to(device), counts_B.to(device), noise_BZ=noise_BZ)


def _inputs(targets: Sequence[Ids], like: Tensor) -> Tensor:
    return _padded([[BOS, *ids] for ids in targets]).to(like.device)


def _padded(rows: Sequence[Ids]) -> Tensor:
    table = torch.full((len(rows), max([1, *map(len, rows)])), PAD)
    for row, ids in enumerate(rows):
        table[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return table
