"""A writer whose steps are one call each."""

# R rows (sentences x beams), B sentences, S source positions, W width of all parts of a state, V vocabulary

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s2s.cores import steps
from s2s.kernels.eight import Rounded
from s2s.kernels.steps import Do, Matrix, Program, Read, Register, Unfit, Way, unavailable
from s2s.models.attention import Attention
from s2s.models.compact import Int8Linear
from s2s.models.decoder import Decoder, DecoderState, Memory
from s2s.models.nested import tensors
from s2s.models.writer import Writer


class Left(NamedTuple):
    """The memory of the sentences that a search has left: all of it, and which they are. Nothing is copied."""

    whole: Memory
    place_B: Tensor


class OneCall:
    """A Stepper that computes what `Writer` does, for one search. Its state is one tensor (R, W)."""

    def __init__(self, program: Program, first_BW: Tensor) -> None:
        self._program, self._first_BW = program, first_BW

    def begin(self, memory: Memory) -> Tensor:  # noqa: ARG002  the search's own
        """(B, W) the state before the first token."""
        return self._first_BW

    def step(self, token_R: Tensor, state_RW: Tensor, memory: Memory | Left) -> tuple[Tensor, Tensor]:
        """Logits (R, V) of the next token, and the next state."""
        whole, place_B = memory if isinstance(memory, Left) else (memory, None)
        return self._program.run(token_R, state_RW, _source(whole)._replace(place=place_B))

    def greedily(self, memory: Memory, way: Way) -> tuple[Tensor, Tensor]:
        """A whole greedy search, as `s2s.search.stepper.Goer` says."""
        return self._program.greedily(self._first_BW, _source(memory), way)

    def reorder(self, state_RW: Tensor, index_R: Tensor) -> Tensor:
        """The given rows of a state, in the given order."""
        return state_RW.index_select(0, index_R)

    def select(self, memory: Memory | Left, sentences_B: Tensor) -> Left:
        """The memory of the given sentences."""
        if isinstance(memory, Left):
            return Left(memory.whole, memory.place_B.index_select(0, sentences_B))
        return Left(memory, sentences_B)


def _source(memory: Memory) -> Read:
    return Read(*(part.contiguous() for part in (memory.keys, memory.values, memory.mask, memory.context)))


def one_call(writer: Writer, memory: Memory, count: int) -> OneCall | Writer:
    """What steps a search of this memory with so many rows: one call a step where there is a program for it."""
    decoder = writer.decoder
    if writer.training or not count or unavailable(memory.values) is not None:
        return writer
    if writer.copies or memory.source.shape[1]:  # the latter: another member of its ensemble copies
        return writer
    if decoder.readout.gating is not None or (decoder.attention is not None and decoder.attention.coverage):
        return writer
    state = writer.begin(memory)
    try:
        return OneCall(_written(writer, state, memory, count), torch.cat(tensors(state), 1))
    except Unfit:
        return writer


def _written(writer: Writer, state: DecoderState, memory: Memory, count: int) -> Program:
    """`Writer.step` of a model without copying, coverage and gates."""
    parts = tensors(state)
    if any(part.dtype != torch.float32 for part in (*parts, memory.keys, memory.values, memory.context)):
        raise Unfit("states that are not float32")
    program = Program([part.shape[1] for part in parts], count)
    before = _as_state(program.state, state)
    features = _decoder(program, writer.decoder, before, memory)
    program.emit(features, *_layer(writer.output))
    return program


class _Before:
    """Where the parts of a state stand."""

    def __init__(self, stack: Sequence[tuple[Register, ...]], output: Register, fed: Register) -> None:
        self.stack, self.output, self.fed = stack, output, fed


def _as_state(registers: Sequence[Register], state: DecoderState) -> _Before:
    found = iter(registers)
    stack = [tuple(next(found) for _ in layer) for layer in state.stack]
    return _Before(stack, next(found), next(found))


def _decoder(program: Program, decoder: Decoder, state: _Before, memory: Memory) -> Register:
    """`Decoder.step`: the features, with the next state where the last one was."""
    embedded = program.room(decoder.embedding.size)
    program.embed(decoder.embedding.weight.detach(), embedded)
    peeked = []
    if decoder.peeky:
        peeked = [program.room(memory.context.shape[1])]
        program.context(peeked[0])
    gates = steps.project(program, decoder.stack, program.join([embedded, *peeked]))
    context = None
    if decoder.attention is not None and decoder.query == "previous":
        context = _attend(program, decoder.attention, state.output)
        if decoder.feeding is not None:
            program.product(context, *_layer(decoder.feeding), gates, add=True)
    elif decoder.feeding is not None:
        program.product(state.fed, *_layer(decoder.feeding), gates, add=True)
    output = steps.step(program, decoder.stack, gates, state.stack)
    if decoder.attention is not None and decoder.query == "current":
        context = _attend(program, decoder.attention, output)
    seen = [] if context is None else [context]
    features = _read(program, decoder, [*seen, output, *peeked], embedded)
    if state.output.width:
        program.copy(output, state.output)
    if state.fed.width:
        program.copy(features if decoder.feed == "attentional" else seen[0], state.fed)
    return features


def _attend(program: Program, attention: Attention, query: Register) -> Register:
    energy = None
    if attention.score == "additive":
        query, energy = program.product(query, *_layer(attention.query)), attention.energy.weight[0]
    context = program.room(attention.value_size)
    program.attend(query, context, energy)
    return context


def _read(program: Program, decoder: Decoder, parts: list[Register], embedded: Register) -> Register:
    readout = decoder.readout
    joined = program.join([*parts, embedded] if readout.kind == "deep" else parts)
    if readout.layer is None:
        return joined
    features = program.product(joined, *_layer(readout.layer))
    program.apply(Do.TANH, features)
    return features


def _layer(layer: nn.Linear) -> tuple[Matrix, Tensor | None]:
    weight: Any = layer.weight
    return Rounded(weight, layer.scale_V) if isinstance(layer, Int8Linear) else weight, layer.bias
