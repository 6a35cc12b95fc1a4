"""The decoder: a recurrent stack with attention, as one scan where nothing is fed back and step by step where it is."""

# R rows (sentences x beams), B sentences, T target positions, S source positions, E encoder width, O decoder width,
# C width of the peeky context, F width of the features, M width of an embedding

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s.cores import PreparedStack, Stack, State
from s2s.kernels.dropout import dropout
from s2s.models import fed
from s2s.models.attention import Attention, Feed, Query, Readout
from s2s.models.embedding import Embedding
from s2s.models.nested import map_tensors
from s2s.models.readout import Gate, ReadoutLayer

WEIGHTS = 1 << 24
"""Numbers that attention goes through at once where its weights are not kept: 64 MB of float32."""


class Memory(NamedTuple):
    """What belongs to the source: never copied per step, narrowed only when sentences leave."""

    values: Tensor
    """(B, S, E) encoder outputs."""
    keys: Tensor
    """(B, S, A) projected for the attention; the values themselves where nothing is projected."""
    mask: Tensor
    """(B, S) true at real tokens."""
    context: Tensor
    """(B, C) the encoder's last output, for peeky decoders; (B, 0) otherwise."""
    seeds: tuple[State, ...]
    """First state of each decoder layer."""
    source: Tensor
    """(B, S) the tokens themselves, where they may be copied; (B, 0) otherwise."""


class DecoderState(NamedTuple):
    """What one step hands to the next."""

    stack: tuple[State, ...]
    output: Tensor
    """(R, O) the stack's last output: the query of `query = previous`."""
    fed: Tensor
    """(R, F) the attentional vector that enters the next input; (R, 0) where nothing of the kind is fed."""
    coverage: Tensor
    """(R, S) what each source position got of the attention so far; (R, 0) where the score does not see it."""


class Decoded(NamedTuple):
    """What the output layer reads, of one step or of T: then there is a T behind each R."""

    features: Tensor
    """(R, F) what the readout gives."""
    weights: Tensor | None
    """(R, S) of the attention, if there is one."""
    generate: Tensor | None
    """(R) logit of p_gen, the probability that a word is not copied; None for a model that does not copy."""


class Decoder(nn.Module):
    """p(y_t | y_<t, x) up to the output layer.

    Args:
        embedding: of target tokens.
        stack: recurrent layers; the bottom one reads embedding (+ C when peeky).
        attention: None for a plain encoder-decoder.
        query: which state asks: the one before this step or the one after it.
        feed: what enters the recurrence besides the embedding.
        readout: what stands before the output layer.
        readout_size: F of the tanh and deep readouts.
        context_size: C; 0 unless peeky.
        dropout: on the features.
        gate: between what source and target say, in the readout.
        copy: give p_gen = sigmoid(w [c; s; e] + b) beside the features (See et al. 2017, equation 8).

    Raises:
        ValueError: attentional feed with the previous state's query, where the fed vector would not be known yet; copy
            without attention.
    """

    def __init__(
        self,
        embedding: Embedding,
        stack: Stack,
        *,
        attention: Attention | None,
        query: Query,
        feed: Feed,
        readout: Readout,
        readout_size: int,
        context_size: int = 0,
        dropout: float = 0.0,
        gate: Gate = "none",
        copy: bool = False,
    ) -> None:
        super().__init__()
        self.embedding, self.stack, self.attention = embedding, stack, attention
        self.query: Query = query
        self.feed: Feed = feed if attention is not None else "none"
        if self.query == "previous" and self.feed == "attentional":
            raise ValueError("the attentional vector is fed to the next step, so its query is the current state")
        if copy and attention is None:
            raise ValueError("words are copied by attention, and there is none")
        self.peeky = context_size > 0
        self.dropout = dropout
        value_size = attention.value_size if attention is not None else 0
        sizes = (value_size, stack.output_size, context_size)
        self.readout = ReadoutLayer(readout, sizes, embedding_size=embedding.size, size=readout_size, gate=gate)
        self.output_size = self.readout.output_size
        self.fed_size = {"none": 0, "context": value_size, "attentional": self.output_size}[self.feed]
        gate_size = stack.gate_size
        self.feeding = nn.Linear(self.fed_size, gate_size, bias=False) if self.fed_size else None
        self.generate = nn.Linear(value_size + stack.output_size + embedding.size, 1) if copy else None

    def begin(self, memory: Memory) -> DecoderState:
        """The state before the first step, one row a sentence."""
        sentences = memory.mask.shape[0]
        stack = self.stack.begin(sentences, memory.seeds)
        return self._state(stack, self.stack.summaries(stack)[-1], None, self._uncovered(memory))

    def _uncovered(self, memory: Memory) -> Tensor:
        """(B, S) zeros in the dtype of the attention weights; (B, 0) where the score does not see the coverage."""
        positions = memory.mask.shape[1] if self.attention is not None and self.attention.coverage else 0
        dtype = torch.promote_types(memory.values.dtype, torch.float32)
        return memory.values.new_zeros(memory.mask.shape[0], positions, dtype=dtype)

    def _state(
        self, stack: tuple[State, ...], output_RO: Tensor, fed: Tensor | None, coverage_RS: Tensor
    ) -> DecoderState:
        """Only what the next step reads is kept."""
        keep_output = self.attention is not None and self.query == "previous"
        empty = output_RO.new_zeros(output_RO.shape[0], 0)
        if fed is None:
            fed = output_RO.new_zeros(output_RO.shape[0], self.fed_size if self.query == "current" else 0)
        return DecoderState(stack, output_RO if keep_output else empty, fed, coverage_RS)

    def forward(self, target_BT: Tensor, memory: Memory, *, weights: bool = True) -> Decoded:
        """Teacher forcing: features (B, T, F), attention weights (B, T, S) and so on for the inputs y_0..y_T-1.

        `weights`: keep those of the attention. Without them, and without gradients, memory grows with T + S and no
        longer with their product.
        """
        embedded_BTM = self.embedding(target_BT)
        decoded = (self._at_once if self.feeding is None else self._fed)(embedded_BTM, memory, weights)
        return decoded._replace(features=dropout(decoded.features, self.dropout, self.training))

    def _at_once(self, embedded_BTM: Tensor, memory: Memory, keep: bool) -> Decoded:
        """Nothing is fed back, so the recurrence is one scan and the attention one product for all steps."""
        start = self.stack.begin(embedded_BTM.shape[0], memory.seeds)
        output_BTO, _ = self.stack(self._inputs(embedded_BTM, memory), None, start)
        if self.attention is None:
            return self._read(output_BTO, None, None, embedded_BTM, memory)
        query = output_BTO
        if self.query == "previous":
            first = self.stack.summaries(start)[-1].to(output_BTO.dtype)
            query = torch.cat([first.unsqueeze(1), output_BTO[:, :-1]], 1)
        context, weights = self._contexts(query, memory, keep)
        return self._read(output_BTO, context, weights, embedded_BTM, memory)

    def _contexts(self, query_BTO: Tensor, memory: Memory, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Of all steps; where the weights are not kept, of so many at once that theirs are `WEIGHTS` numbers."""
        assert self.attention is not None
        coverage = self._uncovered(memory)
        if keep or torch.is_grad_enabled():
            context, weights, _ = self._attend(query_BTO, memory, coverage)
            return context, weights if keep else None
        each = query_BTO.shape[0] * memory.mask.shape[1] * self.attention.width
        contexts = []
        for query in torch.split(query_BTO, max(1, WEIGHTS // max(each, 1)), 1):
            context, _, coverage = self._attend(query, memory, coverage)
            contexts.append(context)
        return torch.cat(contexts, 1), None

    def _fed(self, embedded_BTM: Tensor, memory: Memory, keep: bool) -> Decoded:
        """Something is fed back: in training as one call where that serves."""
        if (loops := fed.loops(self, embedded_BTM, memory)) is None:
            return self._stepwise(embedded_BTM, memory, keep)
        output_BTO, context, features, every = fed.decode(self, embedded_BTM, memory, loops)
        weights = every if keep else None
        if features is None:
            return self._read(output_BTO, context, weights, embedded_BTM, memory)
        return Decoded(features, weights, self._generating([context, output_BTO], embedded_BTM))

    def _stepwise(self, embedded_BTM: Tensor, memory: Memory, keep: bool) -> Decoded:
        """One step after the other, with the embeddings projected once."""
        state = self.begin(memory)
        prepared = self.stack.prepare(embedded_BTM.shape[0])
        gates_BTG = self.stack.project(self._inputs(embedded_BTM, memory))
        steps = []
        for gates_BG, embedded_BM in zip(gates_BTG.unbind(1), embedded_BTM.unbind(1), strict=True):
            decoded, state = self._advance(gates_BG, embedded_BM, state, memory, prepared)
            steps.append(decoded if keep else decoded._replace(weights=None))
        features, weights, generate = zip(*steps, strict=True)
        together = None if self.generate is None else torch.stack(generate, 1)
        return Decoded(torch.stack(features, 1), torch.stack(weights, 1) if keep else None, together)

    def _advance(
        self, gates_RG: Tensor, embedded_RM: Tensor, state: DecoderState, memory: Memory, prepared: PreparedStack
    ) -> tuple[Decoded, DecoderState]:
        """One step with attention, and the next state."""
        assert self.attention is not None
        if self.query == "previous":
            context, weights, coverage = self._attend(state.output.unsqueeze(1), memory, state.coverage)
            gates_RG = gates_RG + self.feeding(context.squeeze(1)) if self.feeding is not None else gates_RG
            output_RO, stack = self.stack.step(gates_RG, state.stack, prepared)
            decoded = self._read_one(output_RO, context, weights, embedded_RM, memory)
            return decoded, self._state(stack, output_RO, None, coverage)
        gates_RG = gates_RG + self.feeding(state.fed) if self.feeding is not None else gates_RG
        output_RO, stack = self.stack.step(gates_RG, state.stack, prepared)
        context, weights, coverage = self._attend(output_RO.unsqueeze(1), memory, state.coverage)
        decoded = self._read_one(output_RO, context, weights, embedded_RM, memory)
        fed: Tensor | None = {"none": None, "context": context.squeeze(1), "attentional": decoded.features}[self.feed]
        return decoded, self._state(stack, output_RO, fed, coverage)

    def step(self, token_R: Tensor, state: DecoderState, memory: Memory) -> tuple[Decoded, DecoderState]:
        """What follows the token y_t-1 of each row, and the next state."""
        embedded_R1M = self.embedding(token_R.unsqueeze(1))
        gates_RG = self.stack.project(self._inputs(embedded_R1M, memory)).squeeze(1)
        prepared = self.stack.prepare(token_R.shape[0])
        if self.attention is not None:
            return self._advance(gates_RG, embedded_R1M.squeeze(1), state, memory, prepared)
        output_RO, stack = self.stack.step(gates_RG, state.stack, prepared)
        decoded = self._read_one(output_RO, None, None, embedded_R1M.squeeze(1), memory)
        return decoded, self._state(stack, output_RO, None, state.coverage)

    def _attend(self, query_RTO: Tensor, memory: Memory, coverage_RS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts (R, T, E), weights (R, T, S), and the coverage after these steps."""
        assert self.attention is not None
        context, weights = self.attention(query_RTO, memory.keys, memory.values, memory.mask, coverage_RS)
        return context, weights, coverage_RS + weights.sum(1) if self.attention.coverage else coverage_RS

    def _inputs(self, embedded_RTM: Tensor, memory: Memory) -> Tensor:
        if not self.peeky:
            return embedded_RTM
        return torch.cat([embedded_RTM, self._context(embedded_RTM, memory)], -1)

    def _context(self, like_RTX: Tensor, memory: Memory) -> Tensor:
        """The peeky context beside every step of every row: (R, T, C)."""
        beams = like_RTX.shape[0] // max(memory.context.shape[0], 1)
        context_RC = memory.context.repeat_interleave(beams, 0) if beams > 1 else memory.context
        return context_RC.to(like_RTX.dtype).unsqueeze(1).expand(-1, like_RTX.shape[1], -1)

    def _read_one(
        self, output_RO: Tensor, context: Tensor | None, weights: Tensor | None, embedded_RM: Tensor, memory: Memory
    ) -> Decoded:
        """Of one step; context and weights have a T of 1."""
        decoded = self._read(output_RO.unsqueeze(1), context, weights, embedded_RM.unsqueeze(1), memory)
        return map_tensors(lambda part: part.squeeze(1), decoded)

    def _read(
        self, output_RTO: Tensor, context: Tensor | None, weights: Tensor | None, embedded_RTM: Tensor, memory: Memory
    ) -> Decoded:
        parts = [] if context is None else [context.to(output_RTO.dtype)]
        parts.append(output_RTO)
        generate = self._generating(parts, embedded_RTM)
        if self.peeky:
            parts.append(self._context(output_RTO, memory))
        return Decoded(self.readout(parts, embedded_RTM), weights, generate)

    def _generating(self, parts: list[Tensor], embedded_RTM: Tensor) -> Tensor | None:
        """(R, T) the logit of p_gen from [c; s; e], where the model copies."""
        if self.generate is None:
            return None
        return self.generate(torch.cat([*parts, embedded_RTM], -1)).squeeze(-1)  # type: ignore[no-any-return]
