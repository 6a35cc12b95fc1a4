"""The predictor that a configuration describes, and how its answers are judged."""

# B batch, T time

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from s2s import resources
from s2s.build.model import build_stack, initialise_all
from s2s.config import Data, Model, Training
from s2s.corpus import fetch
from s2s.errors import UserError
from s2s.models import Embedding, OneHot, Predictor
from s2s.models.predictor import Pooling, PredictorLoss, kept, mark
from s2s.tasks import Numbers, Symbols, Task, Values, make_task
from s2s.tasks.batch import series_batch
from s2s.training.hardware import Precision, autocast


def build_task(data: Data) -> Task:
    """The task of a configuration, with its seed.

    Raises:
        UserError: a length that it cannot be made with, or files that it needs and are not there.
    """
    assert data.task, "the configuration was checked"
    folder = None
    if data.task in ("pixel-mnist", "permuted-mnist"):
        root = Path(data.root) if data.root else None
        folder = fetch.fetch(fetch.card("mnist"), cache=resources.cache() / "corpora", source=root, strict=True)
    return make_task(data.task, seed=data.seed, length=data.length, folder=folder)


def build_predictor(model: Model, task: Task) -> Predictor:
    """A freshly initialised predictor for the task, with the keys of the encoder's side."""
    side = model.side("encoder")
    if task.each_step and model.pooling in ("mean", "attention"):
        raise UserError(
            f"model.pooling = {model.pooling!r}: the task {task.name} asks for an answer at each step, so nothing is"
            " pooled; leave this key out"
        )
    pooling: Pooling = "none" if task.each_step else model.pooling
    reader, width = _reader(task.inputs, side.embedding_size if model.input_layer else None)
    keep = kept(pooling, bidirectional=side.bidirectional, residual=side.residual and side.layers > 1)
    stack = build_stack(model, side, width, keep=keep)
    predictor = Predictor(reader, stack, outputs=task.target.outputs, pooling=pooling, dropout=model.output_dropout)
    tables = [reader.table] if isinstance(reader, Embedding) else []
    initialise_all(model, predictor, tables, [side.core])
    return predictor


def _reader(inputs: Numbers | Symbols, layer: int | None) -> tuple[nn.Module, int]:
    """What stands before the stack, and its width; `layer` is that of an affine layer or embedding."""
    if isinstance(inputs, Numbers):
        return (nn.Identity(), inputs.size) if layer is None else (nn.Linear(inputs.size, layer), layer)
    return (OneHot(inputs.count), inputs.count) if layer is None else (Embedding(inputs.count + 1, layer), layer)


def choose_loss(training: Training, task: Task) -> PredictorLoss:
    """What is minimised.

    Raises:
        UserError: cross-entropy for answers that are numbers.
    """
    numbers = isinstance(task.target, Values)
    if training.loss == "auto":
        return "mse" if numbers else "cross_entropy"
    if numbers and training.loss == "cross_entropy":
        raise UserError(
            f"training.loss = 'cross_entropy' is of classes, but the task {task.name} asks for numbers; use mse or auto"
        )
    return training.loss


def judging_size(training: Training, task: Task) -> int:
    """Examples judged at once: without gradients more of them fit than are trained on."""
    steps: int = task.draw(task.splits.valid[:16], 0).inputs.shape[1]
    return max(training.batch_size or 1, min(1_000, 200_000 // max(steps, 1)))


class Judged(NamedTuple):
    """How a model did on some rows of a task."""

    loss: float
    """Mean over the answers that are asked for."""
    right: float
    """Share of them that are right."""
    whole: float
    """Share of the examples whose answers are all right."""
    lengths_N: np.ndarray
    right_N: np.ndarray
    """Of each example, whether all its answers are right."""

    def scores(self) -> dict[str, float]:
        """By the names that metrics have elsewhere."""
        return {"loss": self.loss, "token_accuracy": self.right, "exact_match": self.whole}


@dataclass(frozen=True)
class Judge:
    """Marks a model's answers to some rows of a task."""

    task: Task
    loss: PredictorLoss
    device: torch.device
    precision: Precision
    batch_size: int

    @torch.no_grad()
    def __call__(self, model: Predictor, rows: Sequence[int]) -> Judged:
        """The model is in evaluation mode; rows are those of the task's first epoch."""
        tolerance = self.task.target.tolerance if isinstance(self.task.target, Values) else 0.0
        lengths, losses, rights, asked = [], [], [], []
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            series = self.task.draw(part, 0)
            batch = series_batch(series, part, each_step=self.task.each_step).to(self.device)
            with autocast(self.device, self.precision):
                outputs = model(batch.inputs, batch.lengths_B).outputs
            marks = mark(outputs, batch, loss=self.loss, tolerance=tolerance)
            lengths.append(series.lengths)
            losses.append(marks.loss_B.double().cpu().numpy())
            rights.append(marks.right_B.cpu().numpy())
            asked.append(marks.asked_B.cpu().numpy())
        right_N, asked_N = np.concatenate(rights), np.concatenate(asked)
        answers = max(int(asked_N.sum()), 1)
        return Judged(
            float(np.concatenate(losses).sum()) / answers,
            float(right_N.sum()) / answers,
            float((right_N == asked_N).mean()),
            np.concatenate(lengths),
            right_N == asked_N,
        )
