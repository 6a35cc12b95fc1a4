"""Teacher forcing equals a loop over `step`, for every legal decoder."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny import CORES, SOURCES, TARGETS, pairs, tiny_model
from torch import Tensor
from torch.nn import functional as F

from s2s.models import PRESETS, AttentionChoice, Memory, Seq2Seq, sequence_loss
from s2s.models.attention import Query

CHOICES = [
    AttentionChoice(*parts)
    for parts in itertools.product(
        ("dot", "general", "additive"),
        ("previous", "current"),
        ("none", "context", "attentional"),
        ("affine", "tanh", "deep"),
    )
    if not (parts[1] == "previous" and parts[2] == "attentional")
]
BATCH = pairs(SOURCES, TARGETS)


def by_steps(model: Seq2Seq, target_BT: Tensor, memory: Memory) -> Tensor:
    state, features = model.decoder.begin(memory), []
    for token_B in target_BT.unbind(1):
        decoded, state = model.decoder.step(token_B, state, memory)
        features.append(decoded.features)
    return torch.stack(features, 1)


def assert_forward_is_a_loop(model: Seq2Seq) -> None:
    with torch.no_grad():
        memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
        whole, weights, _ = model.decoder(BATCH.target_in_BT, memory)
        torch.testing.assert_close(whole, by_steps(model, BATCH.target_in_BT, memory), rtol=1e-9, atol=1e-11)
        embedded = model.decoder.embedding(BATCH.target_in_BT)
        if model.decoder.attention is not None:
            stepwise, weights_2, _ = model.decoder._stepwise(embedded, memory, True)
            torch.testing.assert_close(whole, stepwise, rtol=1e-9, atol=1e-11)
            torch.testing.assert_close(weights, weights_2, rtol=1e-9, atol=1e-11)
    spread = whole.std(0)
    assert float(spread.max()) > 1e-3  # not all the same, or the comparison would say nothing


@pytest.mark.parametrize("choice", CHOICES, ids="-".join)
def test_every_choice(choice: AttentionChoice) -> None:
    assert_forward_is_a_loop(tiny_model(choice))


@pytest.mark.parametrize("peeky", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", CORES)
def test_every_core_and_preset(core: str, preset: str | None, layers: int, peeky: bool) -> None:
    assert_forward_is_a_loop(tiny_model(preset, core=core, layers=layers, residual=layers > 1, peeky=peeky))


@pytest.mark.parametrize(("encoder", "decoder"), [("lstm", "rwa"), ("rwa", "gru"), ("statistical", "lstm")])
@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_the_decoder_may_have_another_core(preset: str | None, encoder: str, decoder: str) -> None:
    assert_forward_is_a_loop(tiny_model(preset, core=encoder, decoder_core=decoder, bidirectional=True, peeky=True))


@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_weights_that_are_not_kept(preset: str | None, coverage: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The features stay the same, few steps at a time."""
    if coverage and (preset is None or PRESETS[preset].score != "additive"):
        pytest.skip("coverage is of the additive score")
    model = tiny_model(preset, coverage=coverage)
    with torch.no_grad():
        memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
        whole = model.decode(BATCH.target_in_BT, memory)
        asked = []
        attend = model.decoder._attend
        monkeypatch.setattr(model.decoder, "_attend", lambda *parts: asked.append(parts[0].shape[1]) or attend(*parts))
        for limit in (1, 200, 1 << 20):
            monkeypatch.setattr("s2s.models.decoder.WEIGHTS", limit)
            lean = model.decode(BATCH.target_in_BT, memory, weights=False)
            torch.testing.assert_close(lean.features, whole.features)
            assert lean.weights is None
    if model.decoder.feeding is None and preset is not None:
        assert (asked[0], asked[-1]) == (1, BATCH.target_in_BT.shape[1])


def test_luong_by_hand() -> None:
    """tanh(W [c; s]) with c over the encoder's outputs and s the scan's: nothing else enters."""
    model = tiny_model("luong")
    decoder = model.decoder
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    features = decoder(BATCH.target_in_BT, memory).features
    hidden, _ = decoder.stack.layers[0](decoder.embedding(BATCH.target_in_BT), None, memory.seeds[0])
    row, step = 0, 2
    scores = [hidden[row, step] @ decoder.attention.key(memory.values[row, j]) for j in range(4)]
    shares = torch.stack(scores).softmax(0)
    context = sum(share * memory.values[row, j] for j, share in enumerate(shares))
    layer = decoder.readout.layer
    expected = torch.tanh(layer.weight @ torch.cat([context, hidden[row, step]]) + layer.bias)
    torch.testing.assert_close(features[row, step], expected)


def test_bahdanau_by_hand() -> None:
    """c_t asks with s_{t-1}, enters the recurrence, and [c_t; s_t; e_t] passes a tanh layer."""
    model = tiny_model("bahdanau")
    decoder = model.decoder
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    features, weights, _ = decoder(BATCH.target_in_BT, memory)
    cell, state = decoder.stack.layers[0].cell, memory.seeds[0]
    for step, token in enumerate(BATCH.target_in_BT.unbind(1)):
        embedded = decoder.embedding.table(token)
        context, weight = decoder.attention(state[0].unsqueeze(1), memory.keys, memory.values, memory.mask)
        gates = cell.project(embedded.unsqueeze(1))[:, 0] + context[:, 0] @ decoder.feeding.weight.t()
        state = cell.step(gates, state, cell.prepare())
        joined = torch.cat([context[:, 0], state[0], embedded], -1)
        torch.testing.assert_close(features[:, step], decoder.readout.layer(joined).tanh())
        torch.testing.assert_close(weights[:, step], weight[:, 0])


def test_joey_feeds_the_attentional_vector() -> None:
    model = tiny_model("joey")
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    state = model.decoder.begin(memory)
    assert state.fed.eq(0).all()
    decoded, state = model.decoder.step(BATCH.target_in_BT[:, 0], state, memory)
    torch.testing.assert_close(state.fed, decoded.features)


@pytest.mark.parametrize("preset", ["book", "joey", None])
def test_peeky_context_reaches_inputs_and_readout(preset: str | None) -> None:
    model = tiny_model(preset, peeky=True)
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    last = model.encoder.stack.summaries(model.encoder(BATCH.source_BS, BATCH.source_lengths_B)[1])[-1]
    torch.testing.assert_close(memory.context, last)
    inputs = model.decoder._inputs(model.decoder.embedding(BATCH.target_in_BT), memory)
    torch.testing.assert_close(inputs[:, 3, 3:], last)
    width = 4 + 4 + (4 if preset else 0)
    layer = model.decoder.readout.layer
    assert (model.decoder.output_size if layer is None else layer.in_features) == width


def test_the_attentional_vector_of_the_previous_state_is_refused() -> None:
    with pytest.raises(ValueError, match="query is the current state"):
        tiny_model(AttentionChoice("dot", "previous", "attentional", "tanh"))


def test_dropout_of_features_only_in_training() -> None:
    model = tiny_model("luong", dropout=0.5)
    forward = (BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)
    torch.testing.assert_close(model(*forward)[0], model(*forward)[0], rtol=0, atol=0)
    model.train()
    assert float((model(*forward)[0] == 0).float().mean()) > 0.3


@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize("core", ["lstm", "rwa"])
@pytest.mark.parametrize("query", ["current", "previous"])
def test_the_same_masks_give_the_same_numbers_both_ways(query: Query, core: str, coverage: bool) -> None:
    """In training: recurrent weights and variational masks are drawn once a sequence, in the same order."""
    choice = AttentionChoice("additive", query, "none", "tanh")
    model = tiny_model(choice, core=core, layers=2, dropout=0.4, variational=True, coverage=coverage).train()
    for layer in model.decoder.stack.layers:
        layer.weight_drop = 0.5
    with torch.no_grad():
        memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
        embedded = model.decoder.embedding(BATCH.target_in_BT)
        results = []
        for way in (model.decoder._at_once, model.decoder._stepwise):
            torch.manual_seed(8)
            results.append(way(embedded, memory, True))
        torch.manual_seed(9)
        other = model.decoder._at_once(embedded, memory, True).features
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-11)
    assert not torch.allclose(results[0][0], other)


@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_gradients_reach_every_parameter(preset: str | None) -> None:
    model = tiny_model(preset, core="lstm", layers=2, peeky=True, bidirectional=True)
    sequence_loss(model, BATCH).total.backward()
    # Tokens of the batch only: 0 is padding, 1 begins and 2 ends a target.
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", ["gru", "rwa"])
def test_gradcheck(core: str, preset: str | None) -> None:
    model = tiny_model(preset, core=core, hidden=2, peeky=preset == "joey", bidirectional=core == "gru")
    batch = pairs([[4, 5, 6], [3]], [[3], [4, 5]])
    chosen = {name: p for name, p in model.named_parameters() if "embedding" not in name and "output" not in name}

    def loss(*values: Tensor) -> Tensor:
        replaced = dict(zip(chosen, values, strict=True))
        arguments = (batch.source_BS, batch.source_lengths_B, batch.target_in_BT)
        features, *_ = torch.func.functional_call(model, replaced, arguments)
        real = batch.target_out_BT != 0
        return F.cross_entropy(model.output(features[real]), batch.target_out_BT[real])

    values = tuple(parameter.detach().clone().requires_grad_() for parameter in chosen.values())
    assert torch.autograd.gradcheck(loss, values, fast_mode=True, atol=1e-6)
