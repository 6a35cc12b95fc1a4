"""From `[model]` to a network: every choice builds, and what can't fit is said with its keys."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from s2s.build.model import attention_choice, build_cell, build_model
from s2s.config import Model
from s2s.cores import GRU, LSTM, RWA, Cell, Elman, NormalisedGRU, NormalisedLSTM, Recurrent, Statistical
from s2s.cores.elman import Elman as OwnCore
from s2s.errors import UserError
from s2s.models import Seq2Seq

SMALL: dict[str, Any] = {"hidden_size": 8, "embedding_size": 6, "phi_size": 5, "recurrent_size": 4}


def _built(**keys: Any) -> Seq2Seq:
    return build_model(Model.model_validate({**SMALL, **keys}), source_vocabulary=11, target_vocabulary=13)


def _runs(model: Seq2Seq) -> None:
    source_BS = torch.randint(4, 11, (3, 5))
    inputs_BT = torch.randint(4, 13, (3, 4))
    logits = model.decoder(inputs_BT, model.encode(source_BS, torch.tensor([5, 3, 1])))[0]
    assert logits.shape[:2] == (3, 4)
    assert logits.isfinite().all()


@pytest.mark.parametrize("core", ["elman", "lstm", "gru", "rwa", "statistical", "sru"])
@pytest.mark.parametrize("attention", ["none", "bahdanau", "luong", "joey"])
def test_every_core_with_every_attention(core: str, attention: str) -> None:
    _runs(_built(core=core, attention=attention))


def test_different_cores_on_the_two_sides() -> None:
    cores = ("elman", "lstm", "gru", "rwa", "statistical")
    for left, right in itertools.permutations(cores, 2):
        _runs(_built(encoder={"core": left}, decoder={"core": right}, bridge="linear"))


@pytest.mark.parametrize(
    "keys",
    [
        {"bridge": "copy", "bidirectional": False},
        {"bridge": "output", "bidirectional": False},
        {"attention": "book", "bidirectional": False},
        {"peeky": True},
        {"layers": 3, "residual": True, "dropout": 0.1, "variational_dropout": True},
        {"tie": "decoder"},
        {"core": "lstm", "layer_norm": True, "forget_bias": 1.0},
        {"core": "gru", "layer_norm": True, "reset": "before", "attention": "joey"},
        {"attention": "bahdanau", "coverage": True, "context_gate": "both"},
        {"attention_score": "additive", "coverage": True, "context_gate": "source"},
        {"attention": "book", "readout": "tanh", "context_gate": "target", "bidirectional": False},
        {"recurrent_dropout": 0.3, "word_dropout": 0.2, "layers": 2, "attention": "bahdanau"},
        {"encoder": {"hidden_size": 10, "layers": 2}},
        {"attention_score": "additive", "attention_feed": "context"},
        {"readout": "deep"},
    ],
    ids=str,
)
def test_choices(keys: dict[str, Any]) -> None:
    _runs(_built(**keys))


@pytest.mark.parametrize("init", ["torch", "normal", "truncated_normal", "xavier", "he"])
@pytest.mark.parametrize("recurrent", ["same", "orthogonal"])
def test_initial_weights_depend_on_the_seed_alone(init: str, recurrent: str) -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(_built(init=init, recurrent_init=recurrent).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert all(value.isfinite().all() for value in made[0].values())


def test_tied_tables_are_one() -> None:
    model = build_model(Model(**SMALL, tie="all"), source_vocabulary=13, target_vocabulary=13)
    assert model.encoder.embedding.table is model.decoder.embedding.table
    _runs(model)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"attention": "book"}, "model.attention_score"),
        ({"bridge": "output"}, "model.bridge"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _built(**keys)


def test_options_reach_the_core() -> None:
    model = Model(**SMALL, forget_bias=1.5, peephole=True, reset="before", activation="relu", variant="iid")
    kinds = {"elman": Elman, "lstm": LSTM, "gru": GRU, "rwa": RWA, "statistical": Statistical}
    for core, kind in kinds.items():
        assert type(build_cell(model, core, 3, 4)) is kind
    elman = build_cell(model, "elman", 3, 4)
    assert isinstance(elman, Elman)
    assert elman.activation == "relu"


def test_own_core() -> None:
    cell = build_cell(Model(), "python:s2s.cores.elman:Elman", 3, 4)
    assert type(cell) is OwnCore
    assert (cell.input_size, cell.hidden_size) == (3, 4)


@pytest.mark.parametrize(
    ("core", "message"),
    [
        ("python:no.such.module:Cell", "No module named 'no'"),
        ("python:s2s.cores:Nothing", "no attribute 'Nothing'"),
        ("python:s2s.cores:initialise", "not a subclass of s2s.cores.Cell"),
        ("python:torch.nn:Linear", "not a subclass of s2s.cores.Cell"),
        ("python:s2s.cores:Cell", r"called as Cell\(input_size, hidden_size\)"),
        ("python:", "python:package.module:Class"),
    ],
)
def test_own_core_that_is_none(core: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_cell(Model(), core, 3, 4)


def test_presets_and_their_overrides() -> None:
    assert attention_choice(Model(attention="none")).score == "dot"
    book, own = attention_choice(Model(attention="book")), attention_choice(Model(attention="book", readout="tanh"))
    assert own.readout == "tanh"
    assert (own.score, own.query, own.feed) == (book.score, book.query, book.feed)


def test_dropouts_and_layer_normalisation_reach_the_side_they_are_set_for() -> None:
    model = _built(recurrent_dropout=0.2, word_dropout=0.1, encoder={"recurrent_dropout": 0.4, "layer_norm": True})
    encoder, decoder = model.encoder, model.decoder
    assert {layer.weight_drop for layer in encoder.modules() if isinstance(layer, Recurrent)} == {0.4}
    assert {layer.weight_drop for layer in decoder.modules() if isinstance(layer, Recurrent)} == {0.2}
    assert (encoder.embedding.word_dropout, decoder.embedding.word_dropout) == (0.1, 0.1)
    assert {type(cell) for cell in encoder.modules() if isinstance(cell, Cell)} == {NormalisedLSTM}
    assert {type(cell) for cell in decoder.modules() if isinstance(cell, Cell)} == {LSTM}
    reset = _built(core="gru", layer_norm=True, reset="before").decoder.stack.layers[0]
    assert isinstance(reset, Recurrent)
    assert isinstance(reset.cell, NormalisedGRU)
    assert reset.cell.reset == "before"


def test_residual_connections_of_each_side() -> None:
    """A residual stack adds what enters a layer from the second on."""
    for side, other in (("encoder", "decoder"), ("decoder", "encoder")):
        torch.manual_seed(1)
        plain = _built(layers=3)
        torch.manual_seed(1)
        model = _built(layers=3, **{side: {"residual": True}})
        assert (getattr(model, side).stack.residual, getattr(model, other).stack.residual) == (True, False)
        x_BTI = torch.randn(2, 4, 6)
        for name in ("encoder", "decoder"):
            outs = [getattr(one, name).stack(x_BTI)[0] for one in (plain, model)]
            assert torch.equal(*outs) == (name == other)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"core": "rwa", "layer_norm": True}, "layer-normalised lstm and gru, but the encoder's core is 'rwa'"),
        ({"decoder": {"core": "elman"}, "layer_norm": True}, "the decoder's core is 'elman'"),
        ({"layer_norm": True, "peephole": True}, "no peepholes"),
        ({"layer_norm": True, "forget_gate": False}, "has a forget gate"),
    ],
    ids=str,
)
def test_layer_normalisation_that_does_not_exist(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Model.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"coverage": True}, "attention_score = 'additive'"),
        ({"attention": "bahdanau", "attention_score": "dot", "coverage": True}, "attention_score = 'additive'"),
        ({"attention": "none", "coverage": True}, "coverage"),
        ({"attention": "none", "coverage_loss": 1.0}, "coverage_loss needs attention"),
        ({"attention": "none", "context_gate": "both"}, "context_gate needs attention"),
        ({"attention": "book", "context_gate": "both"}, "readout = 'tanh' or 'deep'"),
        ({"readout": "affine", "context_gate": "source"}, "readout = 'tanh' or 'deep'"),
    ],
    ids=str,
)
def test_attention_options_that_do_not_fit(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Model.model_validate(keys)
