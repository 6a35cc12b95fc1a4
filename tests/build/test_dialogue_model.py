"""From configuration to a model of dialogues."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_dialogue import DIALOGUES, batch_of

from s2s.build.dialogue_model import build_dialogue_model, kl_weight
from s2s.config.io import check, parse_overrides
from s2s.cores import GRU, LSTM, RWA, Bidirectional, Recurrent
from s2s.errors import UserError
from s2s.models import HRED, dialogue_loss

SMALL = ["model.hidden_size=6", "model.embedding_size=5", "model.latent_size=3"]


def config(*words: str) -> Any:
    return check(parse_overrides(["model.kind=vhred", *SMALL, *words]), "x")


def built(*words: str) -> HRED:
    torch.manual_seed(1)
    made = config(*words)
    return build_dialogue_model(made.model, vocabulary=9, bag=made.training.bag_of_words > 0)


def test_each_place_has_its_core() -> None:
    model = built(
        "model.core=gru", "model.encoder.core=lstm", "model.context.core=rwa", "model.context.hidden_size=7",
        "model.decoder.layers=2", "model.readout=deep",
    )  # fmt: skip
    encoder, context, decoder = (stack.layers[0] for stack in (model.encoder.stack, model.context, model.decoder.stack))
    assert isinstance(encoder, Bidirectional)
    assert isinstance(encoder.forwards.cell, LSTM)
    assert isinstance(context, Recurrent)
    assert isinstance(decoder, Recurrent)
    assert isinstance(context.cell, RWA)
    assert isinstance(decoder.cell, GRU)
    assert len(model.decoder.stack.layers) == 2
    assert (model.context.input_size, model.context.output_size) == (12, 7)
    assert model.decoder.stack.input_size == 5 + 7 + 3
    assert model.decoder.attention is None  # unless asked for
    assert model.bag is None


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model.attention=luong"],
        ["model.attention=bahdanau", "model.coverage=true", "model.context_gate=both"],
        ["model.conditioning=first", "model.readout=tanh"],
        ["model.tie=all", "model.readout=deep"],
        ["model.bridge=linear", "model.layer_norm=true"],
        ["training.bag_of_words=1.0"],
    ],
)
def test_what_is_built_learns(words: list[str]) -> None:
    model = built(*words)
    weight = 1.0 if model.bag is not None else 0.0
    dialogue_loss(model, batch_of(DIALOGUES), bag_of_words=weight).total.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_encoder_loses_no_words() -> None:
    model = built("model.word_dropout=0.25")
    assert (model.encoder.embedding.word_dropout, model.decoder.embedding.word_dropout) == (0.0, 0.25)


def test_sizes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(UserError, match=r"model\.tie"):
        built("model.tie=all")  # the affine readout is as wide as state, context and z
    with pytest.raises(UserError, match=r"model\.bridge"):
        built("model.bridge=output")


def test_the_weight_of_the_divergence_depends_on_the_update_alone() -> None:
    training = config("training.kl_warmup=100").training
    assert [kl_weight(training, update) for update in (0, 25, 100, 1_000)] == [0.0, 0.25, 1.0, 1.0]
    assert kl_weight(config().training, 0) == 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.kind=seq2seq"], "latent_size is of kind = 'vhred'"),
        (["model.kind=hred"], "latent_size is of kind = 'vhred'"),
        (["model.kind=seq2seq", "model.latent_size=100", "model.conditioning=first"], "are of dialogues"),
        (["model.kind=seq2seq", "model.latent_size=100", "model.context.layers=2"], "are of dialogues"),
        (["model.peeky=true"], "does not read peeky"),
        (["model.copying=true", "model.attention=luong", "text.shared=true"], "does not read copying"),
        (["model.encoder.word_dropout=0.1"], "reads whole turns"),
        (["model.bridge=copy"], "use 'tanh'"),
        (["model.context.bidirectional=true"], "bidirectional"),
        (["model.context.core=rwa", "model.layer_norm=true"], "the context's core is 'rwa'"),
        (["model.kind=hred", "model.latent_size=100", "training.kl_warmup=5"], "is of model.kind = 'vhred'"),
        (["training.r_drop=0.5"], "r_drop is of pairs"),
        (["model.attention_score=dot"], "attention = 'none' takes no"),
    ],
)
def test_keys_that_do_not_belong_together(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(*words)


def test_attention_is_what_was_asked_for() -> None:
    assert config().model.attention == "none"
    assert config("model.attention=luong").model.attention == "luong"
    assert check({}, "x").model.attention == "luong"
