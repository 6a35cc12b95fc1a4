"""R-Drop: a batch read twice under two draws of dropout."""

from __future__ import annotations

import pytest
import torch
from tiny import SOURCES, TARGETS, pairs, tiny_model
from torch.nn import functional as F

from s2s.config.io import check
from s2s.errors import UserError
from s2s.models import PRESETS, Seq2Seq, sequence_loss

BATCH = pairs(SOURCES, TARGETS)


def _dropping(preset: str | None) -> Seq2Seq:
    model = tiny_model(preset)
    model.encoder.embedding.dropout = model.decoder.embedding.dropout = 0.5
    return model.train()


@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_without_dropout_it_is_the_plain_loss(preset: str | None) -> None:
    model = tiny_model(preset)
    losses = [sequence_loss(model, BATCH, smoothing=0.1, agreement=agreement) for agreement in (0.0, 5.0)]
    torch.testing.assert_close(losses[0], losses[1])
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    plain, twice = (torch.autograd.grad(loss.total, parameters, allow_unused=True) for loss in losses)
    for left, right in zip(plain, twice, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("preset", [*PRESETS, None])
def test_both_readings_count_and_are_drawn_together(preset: str | None) -> None:
    model = _dropping(preset)
    torch.manual_seed(3)
    loss = sequence_loss(model, BATCH, agreement=2.0)
    torch.manual_seed(3)
    twice = [torch.cat([part, part]) for part in (BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)]
    logits_BTV = F.linear(model(*twice).features, model.output.weight, model.output.bias)
    real_BT = BATCH.target_out_BT != 0
    one, other = (part[real_BT].log_softmax(-1) for part in logits_BTV.chunk(2))
    target_N = BATCH.target_out_BT[real_BT]
    nll = (F.nll_loss(one, target_N, reduction="sum") + F.nll_loss(other, target_N, reduction="sum")) / 2
    apart = ((one.exp() - other.exp()) * (one - other)).sum()
    assert apart > 0.01
    torch.testing.assert_close(loss.nll, nll)
    torch.testing.assert_close(loss.total, nll + 2.0 / 4 * apart)
    assert loss.tokens == len(target_N)


def test_not_for_copying() -> None:
    model = {"copying": True, "attention": "luong"}
    with pytest.raises(UserError, match="r_drop is of models that do not copy"):
        check({"text": {"shared": True}, "model": model, "training": {"r_drop": 5.0}}, "here")
