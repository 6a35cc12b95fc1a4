"""Scheduled sampling: the model's own words as inputs, drawn as it would write them."""

from __future__ import annotations

import pytest
import torch
from tiny import SOURCES, TARGETS, VOCABULARY, pairs, tiny_model

from s2s.build.training import sampling_share
from s2s.config import Model
from s2s.models import PRESETS, sequence_loss

BATCH = pairs(SOURCES, TARGETS)


@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_none_and_all(preset: str | None) -> None:
    """With a share of zero nothing changes; with one, every word but the first is what the model draws."""
    model = tiny_model(preset)
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    assert torch.equal(model.own_words(BATCH.target_in_BT, memory, share=0.0), BATCH.target_in_BT)
    model.output.bias.data = torch.tensor([0.0, 0, 0, 0, 0, 900, 0]).double()
    own_BT = model.own_words(BATCH.target_in_BT, memory, share=1.0)
    assert torch.equal(own_BT[:, 0], BATCH.target_in_BT[:, 0])
    assert (own_BT[:, 1:] == 5).all()


def test_words_are_drawn_given_the_own_words_before() -> None:
    """The second word's distribution is that of p(y_2 | y_1) for the y_1 that was drawn."""
    model = tiny_model("luong")
    rows = 4000
    source, lengths = torch.tensor([[4, 5, 6]]).repeat(rows, 1), torch.full((rows,), 3)
    with torch.no_grad():
        memory = model.encode(source, lengths)
        torch.manual_seed(1)
        own_BT = model.own_words(torch.full((rows, 3), 1), memory, share=1.0)
        first, state = model.step(own_BT[:, 0], model.begin(memory), memory)
        second, _ = model.step(own_BT[:, 1], state, memory)
    share = torch.bincount(own_BT[:, 1], minlength=VOCABULARY) / rows
    torch.testing.assert_close(share.double(), first[0].softmax(-1), rtol=0, atol=0.03)
    word = int(own_BT[:, 1].mode().values)
    after = own_BT[own_BT[:, 1] == word, 2]
    share = torch.bincount(after, minlength=VOCABULARY) / len(after)
    expected = second[own_BT[:, 1] == word][0].softmax(-1)
    torch.testing.assert_close(share.double(), expected, rtol=0, atol=0.06)


def test_the_share_is_drawn_for_each_token() -> None:
    model = tiny_model("luong")
    model.output.bias.data = torch.tensor([0.0, 0, 0, 0, 0, 900, 0]).double()
    memory = model.encode(torch.tensor([[4, 5]]).repeat(300, 1), torch.full((300,), 2))
    own = model.own_words(torch.full((300, 11), 4), memory, share=0.3)[:, 1:] == 5
    assert float(own.double().mean()) == pytest.approx(0.3, abs=0.03)
    assert 0.2 < float(own.double().mean(0).min()) < float(own.double().mean(0).max()) < 0.4


@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_the_loss_is_that_of_the_mixed_inputs(preset: str | None) -> None:
    """What is predicted stays; the gradient is that of teacher forcing with the words that were drawn."""
    model = tiny_model(preset)
    torch.manual_seed(3)
    sampled = sequence_loss(model, BATCH, sampling=0.7)
    torch.manual_seed(3)
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    mixed_BT = model.own_words(BATCH.target_in_BT, memory, share=0.7)
    assert not torch.equal(mixed_BT, BATCH.target_in_BT)
    expected = sequence_loss(model, BATCH._replace(target_in_BT=mixed_BT))
    left, right = (torch.autograd.grad(loss.total, list(model.parameters()), allow_unused=True)
                   for loss in (sampled, expected))  # fmt: skip
    torch.testing.assert_close(sampled.nll, expected.nll)
    torch.testing.assert_close(left, right)


def test_every_weight_learns_under_autocast() -> None:
    """Weights that were cast for the drawing, without gradients, must not be taken for the learning."""
    model = tiny_model("joey", dtype=torch.float32, core="lstm", layers=2)
    with torch.autocast("cpu", torch.bfloat16):
        sequence_loss(model, BATCH, sampling=0.7).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_share_rises_with_the_updates() -> None:
    model = Model(scheduled_sampling=0.5, scheduled_sampling_updates=100)
    assert [sampling_share(model, update) for update in (0, 1, 50, 100, 900)] == [0.0, 0.005, 0.25, 0.5, 0.5]
    assert sampling_share(Model(scheduled_sampling=0.5, scheduled_sampling_updates=0), 1) == 0.5
    assert sampling_share(Model(), 5000) == 0.0
