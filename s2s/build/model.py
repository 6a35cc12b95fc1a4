"""The network that a configuration describes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import assert_never, cast

import torch
from torch import nn

from s2s.config import Core, Model, ResolvedSide
from s2s.cores import (
    GRU,
    LSTM,
    RWA,
    Bidirectional,
    Cell,
    Elman,
    Keep,
    Layer,
    NormalisedGRU,
    NormalisedLSTM,
    Recurrent,
    Stack,
    Statistical,
    fill,
    initialise,
)
from s2s.errors import UserError
from s2s.models import PRESETS, Attention, AttentionChoice, Bridge, Decoder, Embedding, Encoder, Seq2Seq


def build_model(model: Model, *, source_vocabulary: int, target_vocabulary: int) -> Seq2Seq:
    """A freshly initialised model.

    Raises:
        UserError: the sizes don't fit each other (with the keys to change).
    """
    encoder_side, decoder_side = model.side("encoder"), model.side("decoder")
    embedding = build_embedding(encoder_side, source_vocabulary)
    encoder = Encoder(embedding, build_stack(model, encoder_side, embedding.size))
    context_size = encoder.output_size if model.peeky else 0
    decoder = build_decoder(model, target_vocabulary, context_size=context_size, value_size=encoder.output_size)
    if model.tie == "all":
        encoder.embedding.table = decoder.embedding.table
    try:
        summary_sizes = [layer.output_size for layer in cast(list[Layer], list(encoder.stack.layers))]
        bridge = Bridge(model.bridge, summary_sizes, decoder.stack.seed_sizes)
        whole = Seq2Seq(encoder, bridge, decoder, vocabulary=target_vocabulary, tied=model.tie != "none")
    except ValueError as error:
        raise UserError(f"{error}: change model.bridge, model.tie, model.readout or the sizes") from None
    tables = [encoder.embedding.table, decoder.embedding.table]
    initialise_all(model, whole, tables, [encoder_side.core, decoder_side.core])
    return whole


def build_decoder(model: Model, vocabulary: int, *, context_size: int, value_size: int) -> Decoder:
    """The decoder, which sees a context of this width at every step (0: none) and attends to values of that width."""
    side, choice = model.side("decoder"), attention_choice(model)
    stack = build_stack(model, side, side.embedding_size + context_size)
    attention = _attention(model, choice, stack.output_size, value_size)
    return Decoder(
        build_embedding(side, vocabulary),
        stack,
        attention=attention,
        query=choice.query,
        feed=choice.feed,
        readout=choice.readout,
        readout_size=side.hidden_size if model.tie == "none" else side.embedding_size,
        context_size=context_size,
        dropout=model.output_dropout,
        gate=model.context_gate,
        copy=model.copying,
    )


def attention_choice(model: Model) -> AttentionChoice:
    """The preset with the keys that override it."""
    plain = AttentionChoice("dot", "current", "none", "affine")
    preset = plain if model.attention == "none" else PRESETS[model.attention]
    return AttentionChoice(
        model.attention_score or preset.score,
        model.attention_query or preset.query,
        model.attention_feed or preset.feed,
        model.readout or preset.readout,
    )


def _attention(model: Model, choice: AttentionChoice, query_size: int, value_size: int) -> Attention | None:
    if model.attention == "none":
        return None
    try:
        return Attention(query_size, value_size, score=choice.score, coverage=model.coverage)
    except ValueError as error:
        raise UserError(
            f"model.attention = {model.attention!r}: {error}. Set model.attention_score = 'general', make the encoder"
            " one-way (model.bidirectional = false), or double model.decoder.hidden_size"
        ) from None


def build_embedding(side: ResolvedSide, vocabulary: int) -> Embedding:
    """The embedding of one side."""
    embedding = Embedding(
        vocabulary,
        side.embedding_size,
        dropout=side.embedding_dropout,
        variational=side.variational_dropout,
        word_dropout=side.word_dropout,
    )
    embedding.table.requires_grad_(not side.freeze_embeddings)
    return embedding


def build_stack(model: Model, side: ResolvedSide, width: int, *, keep: Keep = "all") -> Stack:
    """The recurrent layers of one side; the bottom one reads inputs of this width, the top one keeps `keep`."""
    layers: list[Layer] = []
    for number in range(side.layers):
        layers.append(_layer(model, side, width, keep if number == side.layers - 1 else "all"))
        width = layers[-1].output_size
    return Stack(layers, dropout=side.dropout, variational=side.variational_dropout, residual=side.residual)


def _layer(model: Model, side: ResolvedSide, width: int, keep: Keep) -> Layer:
    def layer(reverse: bool) -> Recurrent:
        cell = build_cell(model, side.core, width, side.hidden_size, layer_norm=side.layer_norm)
        return Recurrent(
            cell,
            reverse=reverse,
            keep=keep,
            backend=model.backend,
            segment=model.segment,
            weight_drop=side.recurrent_dropout,
        )

    forward = layer(reverse=False)
    return Bidirectional(forward, layer(reverse=True)) if side.bidirectional else forward


def build_cell(model: Model, core: str, input_size: int, hidden_size: int, *, layer_norm: bool = False) -> Cell:
    """One recurrent core with the options that `model` has for it."""
    if core.startswith("python:"):
        return _own_cell(core, input_size, hidden_size)
    if layer_norm:
        return _normalised(model, core, input_size, hidden_size)
    match cast(Core, core):
        case "elman":
            return Elman(input_size, hidden_size, activation=model.activation)
        case "lstm":
            return LSTM(
                input_size,
                hidden_size,
                forget_bias=model.forget_bias,
                peephole=model.peephole,
                forget_gate=model.forget_gate,
            )
        case "gru":
            return GRU(input_size, hidden_size, reset=model.reset)
        case "rwa":
            return RWA(input_size, hidden_size)
        case "statistical" | "sru":
            return _statistical(model, input_size, hidden_size)
        case never:
            assert_never(never)


def _normalised(model: Model, core: str, input_size: int, hidden_size: int) -> Cell:
    if core == "lstm":
        return NormalisedLSTM(input_size, hidden_size, forget_bias=model.forget_bias)
    return NormalisedGRU(input_size, hidden_size, reset=model.reset)


def _statistical(model: Model, input_size: int, hidden_size: int) -> Statistical:
    one = model.variant in ("iid", "recurrent")
    return Statistical(
        input_size,
        hidden_size,
        phi_size=model.phi_size,
        recurrent_size=model.recurrent_size,
        decays=None if one and len(model.decays) > 1 else tuple(model.decays),
        variant=model.variant,
    )


def _own_cell(core: str, input_size: int, hidden_size: int) -> Cell:
    """A user's own core: `python:package.module:Class`, called as `Class(input_size, hidden_size)`."""
    module_name, _, name = core.removeprefix("python:").partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"model.core = {core!r}: {error}; expected python:package.module:Class with a module of the current folder"
            " or on the Python path"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise UserError(f"model.core = {core!r}: {name} is not a subclass of s2s.cores.Cell; derive it from that")
    build: Callable[[int, int], Cell] = found  # every core's own signature begins with these two
    try:
        return build(input_size, hidden_size)
    except TypeError as error:
        raise UserError(f"model.core = {core!r}: {error}; it is called as {name}(input_size, hidden_size)") from error


def initialise_all(model: Model, whole: nn.Module, tables: Sequence[nn.Embedding], cores: Sequence[str]) -> None:
    """Weights by `model.init`; the cells know their own gates. `tables` are the embeddings, tied ones twice."""
    has_forget_gate = "lstm" in cores and model.forget_gate
    initialise(
        whole,
        model.init,
        std=model.init_std,
        recurrent=model.recurrent_init,
        forget_bias=model.forget_bias if has_forget_gate else None,
    )
    for module in whole.modules():
        if isinstance(module, nn.Linear) and model.init != "torch":
            fill(module.weight, model.init, model.init_std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # Embeddings, also where they are tied to the output layer: torch's N(0, 1) would make tied logits far too large.
    for table in {id(table): table for table in tables}.values():
        nn.init.normal_(table.weight, std=model.embedding_std or table.embedding_dim**-0.5)
        with torch.no_grad():
            table.weight[0].zero_()
