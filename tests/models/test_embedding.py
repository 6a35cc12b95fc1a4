"""Word dropout: whole tokens are read as <unk>, and the marks stay."""

from __future__ import annotations

import pytest
import torch
from tiny import pairs, tiny_model

from s2s.models import Embedding, sequence_loss
from s2s.models.embedding import UNKNOWN
from s2s.text.vocab import UNK


def test_the_id_of_unknown_is_the_vocabularys() -> None:
    assert UNKNOWN == UNK


def test_tokens_become_unknown_one_by_one() -> None:
    torch.manual_seed(2)
    embedding = Embedding(40, 5, word_dropout=0.3).train()
    tokens = torch.arange(4, 40).repeat(200, 1)
    read = embedding.words(tokens)
    lost = read == UNKNOWN
    assert torch.equal(read[~lost], tokens[~lost])
    assert float(lost.double().mean()) == pytest.approx(0.3, abs=0.02)
    # Drawn per token: no position and no row is lost or kept as a whole.
    assert 0.1 < float(lost.double().mean(0).min()) < float(lost.double().mean(0).max()) < 0.5
    assert 0.0 < float(lost.double().mean(1).min()) < float(lost.double().mean(1).max()) < 0.7


def test_marks_stay_and_evaluation_reads_all() -> None:
    embedding = Embedding(9, 5, word_dropout=0.9).train()
    marks = torch.tensor([[0, 1, 2, 3]]).repeat(50, 1)
    assert torch.equal(embedding.words(marks), marks)
    tokens = torch.full((50, 4), 7)
    assert torch.equal(embedding.eval().words(tokens), tokens)


def test_each_side_by_itself() -> None:
    """The unknown token learns from the side that drops words, and only there."""
    model = tiny_model("luong").train()
    model.decoder.embedding.word_dropout = 0.9
    batch = pairs([[4, 5, 6], [6]], [[4, 5, 6, 4, 5], [6]])
    torch.manual_seed(1)
    sequence_loss(model, batch).total.backward()
    source, target = (side.embedding.table.weight.grad for side in (model.encoder, model.decoder))
    assert source is not None
    assert target is not None
    assert not source[UNKNOWN].any()
    assert target[UNKNOWN].any()


def test_the_target_that_is_scored_stays() -> None:
    """Word dropout changes what is read, never what is to be predicted."""
    model = tiny_model("luong").train()
    model.decoder.embedding.word_dropout = 0.9
    model.output.bias.data[UNKNOWN] = -50.0  # would cost 50 nats a token if the target became <unk>
    loss = sequence_loss(model, pairs([[4, 5, 6]], [[4, 5, 6]]))
    assert float(loss.nll) / loss.tokens < 25
