"""Batches of tasks: tensors of the arrays, answers counted, and plans that cover the rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import UserError
from s2s.tasks import Adding, BinaryAddition, BitCount, Copy, Length, Reber, Series, Task
from s2s.tasks.batch import TaskSource, series_batch

TASKS: list[Task] = [BitCount(1), BinaryAddition(1), Length(1, 9), Adding(1, 9), Copy(1, 4), Reber(1)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_batch_holds_the_arrays(task: Task) -> None:
    source = TaskSource(task, task.splits.train, size=6, seed=1)
    batch, series = source.batch([4, 0, 9], 2), task.draw([4, 0, 9], 2)
    for tensor, array in (
        (batch.inputs, series.inputs),
        (batch.lengths_B, series.lengths),
        (batch.targets, series.targets),
    ):
        assert (tensor.numpy() == array).all()
        assert tensor.numpy().dtype == array.dtype
    assert batch.rows == [4, 0, 9]
    assert batch.tokens == (int(series.lengths.sum()) if task.each_step else 3)
    moved = batch.to("meta")
    assert {moved.inputs.device.type, moved.lengths_B.device.type, moved.targets.device.type} == {"meta"}
    assert (moved.rows, moved.tokens) == (batch.rows, batch.tokens)


def test_answers_that_are_not_asked_for_are_not_counted() -> None:
    lengths = np.array([3, 1])
    classes = Series(np.zeros((2, 3, 1), np.float32), lengths, np.array([[1, -1, 0], [2, -1, -1]]))
    assert series_batch(classes, [0, 1], each_step=True).tokens == 3
    numbers = Series(np.zeros((2, 3, 1), np.float32), lengths, np.zeros((2, 3, 2), np.float32))
    assert series_batch(numbers, [0, 1], each_step=True).tokens == 4
    assert series_batch(numbers, [0, 1], each_step=True).targets.dtype == torch.float32


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99), st.integers(0, 9))
def test_a_plan_covers_the_rows_once(start: int, count: int, size: int, seed: int, epoch: int) -> None:
    source = TaskSource(BitCount(1), range(start, start + count), size, seed)
    plan = source.plan(epoch)
    assert sorted(row for rows in plan for row in rows) == list(range(start, start + count))
    assert all(len(rows) == size for rows in plan[:-1])
    assert plan == source.plan(epoch)


def test_epochs_differ_and_a_size_of_zero_is_refused() -> None:
    source = TaskSource(BitCount(1), range(100), 10, 1)
    assert source.plan(0) != source.plan(1)
    with pytest.raises(UserError, match=r"at least one example, got training.batch_size = 0"):
        TaskSource(BitCount(1), range(100), 0, 1)


def test_tasks_need_no_torch() -> None:
    code = "import s2s.tasks, sys; s2s.tasks.make_task('copy', seed=1).draw([1], 0); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
