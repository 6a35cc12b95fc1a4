"""The whole model: bridge, tying, padding, loss, and the Stepper protocol."""

from __future__ import annotations

import pytest
import torch
from tiny import CORES, SOURCES, TARGETS, VOCABULARY, pairs, stack, tiny_model
from torch.nn import functional as F

from s2s.models import PRESETS, Bridge, Embedding, Seq2Seq, sequence_loss
from s2s.models.nested import map_tensors, rows

# ---- bridge


@pytest.mark.parametrize("core", CORES)
def test_copy_hands_the_state_over(core: str) -> None:
    encoder, decoder = stack(core, 3, 4, layers=2).double(), stack(core, 3, 4, layers=2).double()
    _, finals = encoder(torch.randn(2, 5, 3).double(), torch.tensor([5, 2]))
    seeds = Bridge("copy", [4, 4], decoder.seed_sizes)(encoder, finals)
    begun = decoder.begin(2, seeds)
    for layer in range(2):
        expected = encoder.layers[layer].seed(finals[layer])
        for seed, state, final in zip(seeds[layer], begun[layer], expected, strict=False):
            assert torch.equal(seed, final)
            assert torch.equal(state, final)


def test_output_gives_h_and_leaves_the_rest_zero() -> None:
    encoder, decoder = stack("gru", 3, 4), stack("lstm", 3, 4)
    output, finals = encoder(torch.randn(2, 5, 3), torch.tensor([5, 2]))
    ((h, c),) = Bridge("output", [4], decoder.seed_sizes)(encoder, finals)
    assert torch.equal(h, torch.stack([output[0, 4], output[1, 1]]))
    assert c.eq(0).all()
    with pytest.raises(ValueError, match="equal widths, got 5 and 4"):
        Bridge("output", [5], decoder.seed_sizes)


@pytest.mark.parametrize("kind", ["linear", "tanh"])
def test_layers_map_the_last_output_to_every_seed(kind: str) -> None:
    encoder, decoder = stack("gru", 3, 4, layers=2, bidirectional=True), stack("lstm", 3, 5, layers=3)
    bridge = Bridge(kind, [8, 8], decoder.seed_sizes)  # type: ignore[arg-type]
    _, finals = encoder(torch.randn(2, 5, 3), torch.tensor([5, 2]))
    summaries = encoder.summaries(finals)
    seeds = bridge(encoder, finals)
    assert len(seeds) == 3
    for index, seed in enumerate(seeds):
        top = summaries[min(index, 1)]  # the third layer starts from the encoder's top as well
        for part, layer in zip(seed, bridge.layers[index], strict=True):
            value = F.linear(top, layer.weight, layer.bias)
            torch.testing.assert_close(part, value.tanh() if kind == "tanh" else value)


def test_copy_between_stacks_that_differ_is_refused() -> None:
    encoder, decoder = stack("gru", 3, 4), stack("gru", 3, 4, layers=2)
    _, finals = encoder(torch.randn(1, 2, 3))
    with pytest.raises(ValueError, match="zip"):
        decoder.begin(1, Bridge("copy", [4], decoder.seed_sizes)(encoder, finals))
    wider = stack("gru", 3, 5)
    with pytest.raises(ValueError, match="seed of shapes"):
        wider.begin(1, Bridge("copy", [4], wider.seed_sizes)(encoder, finals))


# ---- tying


def test_two_way_tying_shares_storage() -> None:
    model = tiny_model("luong", tied=True)
    table = model.decoder.embedding.table.weight
    assert model.output.weight is table
    assert sum(p is table for p in model.parameters()) == 1
    sequence_loss(model, pairs(SOURCES, TARGETS)).total.backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()
    assert torch.equal(model.output.weight, model.decoder.embedding.weight)


def test_three_way_tying_shares_storage() -> None:
    model = tiny_model("luong", tied=True)
    model.encoder.embedding.table = model.decoder.embedding.table
    pointers = {
        weight.data_ptr()
        for weight in (model.output.weight, model.encoder.embedding.weight, model.decoder.embedding.weight)
    }
    assert len(pointers) == 1
    assert len([p for p in model.parameters() if p.shape == (VOCABULARY, 3)]) == 1


def test_tying_needs_equal_widths() -> None:
    model = tiny_model("luong")
    with pytest.raises(ValueError, match="features of width 3, got 5"):
        Seq2Seq(model.encoder, model.bridge, model.decoder, vocabulary=VOCABULARY, tied=True)


# ---- padding


@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", CORES)
def test_a_pair_alone_equals_the_pair_in_a_padded_batch(core: str, preset: str | None) -> None:
    model = tiny_model(preset, core=core, bidirectional=True, layers=2, peeky=preset in (None, "joey"))
    whole = sequence_loss(model, pairs(SOURCES, TARGETS), smoothing=0.1)
    whole.total.backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    losses = [
        sequence_loss(model, pairs([source], [target]), smoothing=0.1)
        for source, target in zip(SOURCES, TARGETS, strict=True)
    ]
    sum(loss.total for loss in losses).backward()
    torch.testing.assert_close(whole.nll, torch.stack([loss.nll for loss in losses]).sum(), rtol=1e-10, atol=1e-12)
    assert whole.tokens == sum(loss.tokens for loss in losses) == 10
    alone = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    # A seeded RWA does not use its own start; everything else learns.
    assert set(dict(model.named_parameters())) - set(alone) <= {f"decoder.stack.layers.{i}.cell.start" for i in (0, 1)}
    torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-11)


def test_an_empty_source_beside_others() -> None:
    model = tiny_model("luong", core="lstm", bidirectional=True)
    loss = sequence_loss(model, pairs([[4, 5, 6], []], [[3], [4]]))
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# ---- embedding


def test_embedding_dropout_is_one_mask_where_variational() -> None:
    torch.manual_seed(1)
    embedding = Embedding(9, 50, dropout=0.5, variational=True)
    tokens = torch.full((2, 4), 3)
    out = embedding(tokens)
    assert torch.equal(out[:, :1].expand_as(out), out)
    assert not torch.equal(out[0], out[1])
    plain = Embedding(9, 50, dropout=0.5)(tokens)
    assert not torch.equal(plain[:, :1].expand_as(plain), plain)
    assert torch.equal(embedding.eval()(tokens)[0, 0], embedding.weight[3])
    assert Embedding(9, 50)(torch.zeros(1, 1, dtype=torch.int64)).eq(0).all()


# ---- the Stepper protocol


@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", ["lstm", "rwa", "statistical"])
def test_reordered_rows_go_on_as_they_would_have(core: str, preset: str | None) -> None:
    model = tiny_model(preset, core=core, layers=2, peeky=True)
    batch = pairs(SOURCES, TARGETS)
    with torch.no_grad():
        memory = model.encode(batch.source_BS, batch.source_lengths_B)
        _, state = model.step(torch.tensor([1, 1, 1]), model.begin(memory), memory)
        wanted, _ = model.step(torch.tensor([3, 4, 5]), state, memory)
        index = torch.tensor([2, 0])
        state, memory = model.reorder(state, index), model.select(memory, index)
        got, _ = model.step(torch.tensor([5, 3]), state, memory)
    torch.testing.assert_close(got, wanted[index])


def test_reorder_leaves_the_memory_and_select_leaves_the_beams() -> None:
    """Three beams a sentence: states are copied, what belongs to the source is not."""
    model = tiny_model("joey", peeky=True)
    batch = pairs(SOURCES, TARGETS)
    with torch.no_grad():
        memory = model.encode(batch.source_BS, batch.source_lengths_B)
        single, _ = model.step(torch.tensor([3, 4, 5]), model.begin(memory), memory)
        state = model.reorder(model.begin(memory), torch.arange(3).repeat_interleave(3))
        beams, state = model.step(torch.tensor([3, 4, 5]).repeat_interleave(3), state, memory)
    torch.testing.assert_close(beams, single.repeat_interleave(3, 0))
    assert memory.values.shape[0] == 3
    assert all(part.shape[0] == 9 for part in (state.output, state.fed, *state.stack[0]))


def test_nested_tuples_keep_their_type() -> None:
    model = tiny_model("joey")
    batch = pairs(SOURCES, TARGETS)
    memory = model.encode(batch.source_BS, batch.source_lengths_B)
    picked = rows(memory, torch.tensor([1]))
    assert type(picked) is type(memory)
    assert torch.equal(picked.values, memory.values[1:2])
    assert map_tensors(lambda tensor: tensor + 1, (None, (torch.zeros(1),))) == (None, (torch.ones(1),))
