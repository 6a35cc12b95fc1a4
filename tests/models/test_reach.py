"""The gradient by distance in time, against a chain of derivatives worked out by hand and by finite means."""

from __future__ import annotations

import pytest
import torch
from tiny import CORES, cell
from torch import nn

from s2s.cores import Elman, Recurrent, Stack
from s2s.models import OneHot, Predictor
from s2s.models.predictor import mark
from s2s.models.reach import gradient_by_distance
from s2s.tasks import Adding, BinaryAddition, Reber
from s2s.tasks.batch import SeriesBatch, TaskSource


def batch_of(task: Adding | BinaryAddition | Reber, rows: int) -> SeriesBatch:
    source = TaskSource(task, task.splits.train, rows, seed=1)
    return source.batch(list(task.splits.train[:rows]), 0)


def test_a_linear_chain_by_hand() -> None:
    """h_t = relu(x_t w + u h_{t-1}) with everything positive: the gradient is scaled by u a step, and by w once."""
    core = Elman(2, 1, activation="relu")
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.fill_(0.5)
    model = Predictor(nn.Identity(), Stack([Recurrent(core, keep="last")]), outputs=1).eval()
    batch = batch_of(Adding(length=6, seed=1), 5)
    [norm_T] = gradient_by_distance(model, batch, loss="mse")
    expected = [0.5**distance for distance in range(6)]
    torch.testing.assert_close(norm_T / norm_T[0], torch.tensor(expected))


@pytest.mark.parametrize("core", CORES)
def test_it_is_the_gradient_by_the_inputs(core: str) -> None:
    """For the bottom layer, and numbers as they are: what autograd says of the batch's inputs."""
    torch.manual_seed(2)
    model = Predictor(nn.Identity(), Stack([Recurrent(cell(core, 2, 4), keep="last")]), outputs=1).eval()
    batch = batch_of(Adding(length=5, seed=1), 3)
    inputs = batch.inputs.clone().requires_grad_()
    loss = mark(model(inputs, batch.lengths_B).outputs, batch, loss="mse").loss_B
    (gradient_BTI,) = torch.autograd.grad(loss.sum(), inputs)
    [norm_T] = gradient_by_distance(model, batch, loss="mse")
    torch.testing.assert_close(norm_T, gradient_BTI.norm(dim=-1).mean(0).flip(0))


def test_of_answers_at_each_step_the_last_one_counts() -> None:
    torch.manual_seed(2)
    task = BinaryAddition(length=4, seed=1)
    model = Predictor(nn.Identity(), Stack([Recurrent(cell("gru", 2, 4))]), outputs=1, pooling="none").eval()
    batch = batch_of(task, 3)
    inputs = batch.inputs.clone().requires_grad_()
    logits_B = model(inputs, batch.lengths_B).outputs[:, -1, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logits_B, batch.targets[:, -1].float(), reduction="sum")
    (gradient_BTI,) = torch.autograd.grad(loss, inputs)
    [norm_T] = gradient_by_distance(model, batch, loss="cross_entropy")
    torch.testing.assert_close(norm_T, gradient_BTI.norm(dim=-1).mean(0).flip(0))


def test_rows_of_unlike_length_are_counted_from_their_ends() -> None:
    """Each distance is the mean over the rows that have it, of every layer, and symbols have one too."""
    torch.manual_seed(2)
    task = Reber(length=20, seed=1)
    layers = [Recurrent(cell("gru", task.inputs.count, 4)), Recurrent(cell("gru", 4, 4), keep="last")]
    model = Predictor(OneHot(task.inputs.count), Stack(layers), outputs=1).eval()
    batch = batch_of(task, 6)
    together = gradient_by_distance(model, batch, loss="cross_entropy")
    alone = torch.full((6, 2, int(batch.lengths_B.max())), torch.nan)
    for row, length in enumerate(batch.lengths_B.tolist()):
        own = slice(row, row + 1)
        one = SeriesBatch(batch.inputs[own, :length], batch.lengths_B[own], batch.targets[own], [0], 1)
        alone[row, :, :length] = gradient_by_distance(model, one, loss="cross_entropy")
    torch.testing.assert_close(together, alone.nanmean(0)[:, : together.shape[1]], equal_nan=True)
    assert len(set(batch.lengths_B.tolist())) > 1


def test_it_leaves_nothing_behind() -> None:
    model = Predictor(nn.Identity(), Stack([Recurrent(cell("lstm", 2, 4), keep="last")]), outputs=1).eval()
    with torch.no_grad():
        gradient_by_distance(model, batch_of(Adding(length=5, seed=1), 3), loss="mse")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.stack.layers)
