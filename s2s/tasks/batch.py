"""Batches of a task's examples as tensors: the one file of the room that knows torch.

Shapes: B rows, T steps, I numbers a step, K values of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s.corpus.order import random_order
from s2s.errors import UserError
from s2s.tasks.task import Series, Task


@dataclass(frozen=True)
class SeriesBatch:
    """The arrays of a `Series` as tensors; `tokens` counts the answers that are asked for."""

    inputs: Tensor  # (B, T, I) or (B, T)
    lengths_B: Tensor
    targets: Tensor  # (B, K), (B,), (B, T, K) or (B, T)
    rows: list[int]
    tokens: int

    @property
    def extent(self) -> str:
        """How long the rows are, in words."""
        return f"{self.inputs.shape[1]} steps"

    def to(self, device: torch.device | str) -> SeriesBatch:
        """The same batch on a device."""
        inputs, lengths_B, targets = (tensor.to(device) for tensor in (self.inputs, self.lengths_B, self.targets))
        return SeriesBatch(inputs, lengths_B, targets, self.rows, self.tokens)


def series_batch(series: Series, rows: Sequence[int], *, each_step: bool) -> SeriesBatch:
    """The examples as tensors on the CPU, which share the arrays' memory. `rows` are their numbers."""
    if not each_step:
        tokens = len(series.lengths)
    elif series.targets.ndim == 2:
        tokens = int((series.targets >= 0).sum())
    else:
        tokens = int(series.lengths.sum())
    inputs, lengths_B, targets = (torch.from_numpy(a) for a in (series.inputs, series.lengths, series.targets))
    return SeriesBatch(inputs, lengths_B, targets, list(rows), tokens)


@dataclass(frozen=True)
class TaskSource:
    """Where a training loop's batches come from: the given rows of a task in a new order each epoch.

    UserError for a size below 1.
    """

    task: Task
    rows: range
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError(f"a batch has at least one example, got training.batch_size = {self.size}")

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, each row in one of them; the last may be smaller."""
        order = (self.rows.start + random_order(len(self.rows), self.seed, epoch)).tolist()
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]

    def batch(self, rows: Sequence[int], epoch: int) -> SeriesBatch:
        """These rows' examples in this epoch."""
        return series_batch(self.task.draw(rows, epoch), rows, each_step=self.task.each_step)
