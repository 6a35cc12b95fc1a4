"""One update: what its gradient is, however its batches are cut, and what happens when it can't be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from miniature import EXAMPLES, SETTINGS, Miniature, Source, assert_identical

from s2s.corpus.batch import Batch
from s2s.errors import UserError
from s2s.models import Loss, sequence_loss
from s2s.training.state import Progress
from s2s.training.step import out_of_memory, step

ROWS = [0, 4, 7, 3, 12, 9, 18, 21]


class Plan(Source):
    """The given batches, epoch after epoch."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self.batches = batches

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        del epoch
        return self.batches


def plain(folder: Path, **changes: Any) -> Miniature:
    """In float64 and without dropout, so that two ways to one gradient agree."""
    made = Miniature(folder, optimizer="sgd", **changes)
    made.model.double().eval()
    return made


def gradient(made: Miniature, batches: Sequence[Sequence[int]]) -> tuple[dict[str, torch.Tensor], float, int]:
    found = step(made.run, SETTINGS, Progress(update=1), [made.run.source.batch(rows, 0) for rows in batches], rate=0.0)
    grads = {name: weight.grad for name, weight in made.model.named_parameters() if weight.grad is not None}
    assert len(grads) > 10
    return grads, found.loss, found.tokens


@given(cuts=st.sets(st.integers(1, len(ROWS) - 1)))
def test_however_an_update_is_cut_into_batches_its_gradient_is_one(
    cuts: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of the mean over all its target tokens: not the mean of the batches' means."""
    made = plain(tmp_path_factory.mktemp("run"))
    bounds = [0, *sorted(cuts), len(ROWS)]
    parts = [ROWS[a:b] for a, b in pairwise(bounds)]
    expected, loss, tokens = gradient(made, [ROWS])
    expected = {name: grad.clone() for name, grad in expected.items()}
    got, mean, count = gradient(made, parts)
    for name, grad in expected.items():
        torch.testing.assert_close(got[name], grad, rtol=1e-9, atol=1e-12)
    assert mean == pytest.approx(loss, rel=1e-9)
    assert count == tokens == sum(len(EXAMPLES[row].target) + 1 for row in ROWS)


def test_a_pair_that_comes_twice_changes_nothing(tmp_path: Path) -> None:
    made = plain(tmp_path)
    once = {name: grad.clone() for name, grad in gradient(made, [ROWS])[0].items()}
    for name, grad in gradient(made, [ROWS + ROWS])[0].items():
        torch.testing.assert_close(grad, once[name], rtol=1e-9, atol=1e-12)


def test_k_batches_of_n_train_like_one_of_k_times_n(tmp_path: Path) -> None:
    """Through the loop: the same updates, and the log has the loss and tokens of the whole."""
    pairs = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    small = plain(tmp_path / "small", source=Plan(pairs))
    large = plain(tmp_path / "large", source=Plan([pairs[0] + pairs[1] + pairs[2], pairs[3] + pairs[4] + pairs[5]]))
    for made, accumulate in ((small, 3), (large, 1)):
        objective = partial(sequence_loss, made.model.train(False), smoothing=0.1)
        made.run = replace(made.run, objective=objective)
        made.train(updates=5, accumulate=accumulate, validate_every=100)
        assert (made.progress.epoch, made.progress.update) == (2, 5)
    assert small.notes.losses == pytest.approx(large.notes.losses, rel=1e-9)
    assert small.notes.norms == pytest.approx(large.notes.norms, rel=1e-9)
    assert small.progress.tokens == large.progress.tokens
    assert (small.progress.batch, large.progress.batch) == (3, 1)
    for name, tensor in small.model.state_dict().items():
        torch.testing.assert_close(tensor, large.model.state_dict()[name], rtol=1e-9, atol=1e-12)


def test_an_epoch_ends_with_an_update(tmp_path: Path) -> None:
    """Eight batches by three: 3 + 3 + 2."""
    made = Miniature(tmp_path)
    made.train(updates=None, epochs=2, accumulate=3)
    assert made.progress.update == 6
    assert [update for update, _ in made.notes.validations] == [3, 6]


@pytest.mark.parametrize("stop", [3, 10])
def test_resuming_with_accumulation_is_bit_identical(stop: int, tmp_path: Path) -> None:
    whole = Miniature(tmp_path / "whole")
    whole.train(updates=20, accumulate=3)
    first = Miniature(tmp_path / "halves")
    first.train(updates=stop, accumulate=3)
    second = Miniature(tmp_path / "halves", seed=77)
    second.train(second.restore(), updates=20, accumulate=3)
    assert_identical(second.state(), whole.state())
    assert first.notes.losses + second.notes.losses == whole.notes.losses


# ---- out of memory

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


class Small:
    """A machine whose memory holds so many rows. The backward fails half-way, with some of the gradient written."""

    def __init__(self, made: Miniature, rows: int, error: BaseException = ERRORS[1]) -> None:
        self.made, self.rows, self.error = made, rows, error
        self.sizes: list[int] = []

    def __call__(self, batch: Batch) -> Loss:
        self.sizes.append(len(batch.rows))
        loss = sequence_loss(self.made.model, batch)
        if len(batch.rows) > self.rows:
            weight = self.made.model.encoder.embedding.table.weight  # the last one that a backward reaches
            weight.register_hook(self.fail)
        return loss

    def fail(self, grad: torch.Tensor) -> torch.Tensor:
        self.made.model.encoder.embedding.table.weight._backward_hooks.clear()  # type: ignore[union-attr]
        del grad
        raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_batch_that_does_not_fit_is_cut_and_the_gradient_stays(
    rows: int, error: BaseException, tmp_path: Path
) -> None:
    made = plain(tmp_path)
    batches = [ROWS[:2], ROWS[2:], [1, 2]]
    made.run = replace(made.run, objective=partial(sequence_loss, made.model))
    expected = {name: grad.clone() for name, grad in gradient(made, batches)[0].items()}
    small = Small(made, rows, error)
    made.run = replace(made.run, objective=small)
    got, _, tokens = gradient(made, batches)
    assert max(small.sizes) > rows
    assert tokens == sum(len(EXAMPLES[row].target) + 1 for rows in batches for row in rows)
    for name, grad in expected.items():
        torch.testing.assert_close(got[name], grad, rtol=1e-9, atol=1e-12)


def test_cuts_are_counted_and_said(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    made.run = replace(made.run, objective=Small(made, 2))
    made.train(updates=4)
    assert made.progress.splits == 3
    assert len(made.notes.troubles) == 2  # the first, the second, the fourth ... time
    assert "the batch of 3 examples" in made.notes.troubles[0]
    assert "cut 1 of this run" in made.notes.troubles[0]
    assert made.restore().splits == made.progress.splits


def test_a_single_pair_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    made.run = replace(made.run, objective=Small(made, 0))
    with pytest.raises(UserError, match=r"out of memory at update 1: a single example of \d+ source and \d+ target"):
        made.train(updates=4)


def test_any_other_error_stays_what_it_is(tmp_path: Path) -> None:
    def broken(batch: Batch) -> Loss:
        raise RuntimeError(f"mat1 and mat2 of {len(batch.rows)}")

    made = Miniature(tmp_path, objective=broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        made.train(updates=4)
    assert not out_of_memory(RuntimeError("mat1"))
