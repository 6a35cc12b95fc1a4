"""A loss or gradient that is no number: back to the last checkpoint with a lower rate, so many times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from miniature import SETTINGS, Miniature, assert_identical

from s2s.corpus.batch import Batch
from s2s.errors import UserError
from s2s.models import Loss, sequence_loss
from s2s.training.schedule import Schedule
from s2s.training.state import Progress
from s2s.training.step import step


def explodes(made: Miniature, *updates: int, often: int = 10**9) -> list[int]:
    """Loss is no number at these updates, so many times in all; returns when."""
    objective, happened = made.run.objective, list[int]()

    def bad(batch: Batch) -> Loss:
        loss = objective(batch)
        if made.progress.update not in updates or len(happened) >= often:
            return loss
        happened.append(made.progress.update)
        return loss._replace(total=loss.total * float("nan"), nll=loss.nll * float("nan"))

    made.run = replace(made.run, objective=bad)
    return happened


def test_a_diverging_run_goes_back_and_on_with_a_lower_rate(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    happened = explodes(made, 8, 14, often=2)
    assert made.train(updates=16, checkpoint_every=5) == "16 updates done"
    assert happened == [8, 8]  # twice in the same place, then it got past it
    assert made.notes.rates == pytest.approx([0.05] * 5 + [0.0125] * 11)
    assert made.progress.divergences == 2 == len(made.notes.troubles)
    assert "update 8 diverged (loss nan" in made.notes.troubles[0]
    assert "back to step-5 with 0.5 times the rate (1 of at most 3 times)" in made.notes.troubles[0]
    assert all(weight.isfinite().all() for weight in made.model.parameters())
    assert made.restore().divergences == 2


def test_going_back_is_that_checkpoint_to_the_bit(tmp_path: Path) -> None:
    """With a rate that stays (factor 1, as the configuration does not allow it) nothing at all has happened."""
    whole = Miniature(tmp_path / "whole")
    whole.train(updates=16, checkpoint_every=5)
    made = Miniature(tmp_path / "back")
    explodes(made, 9, often=1)
    made.train(updates=16, checkpoint_every=5, divergence_factor=1.0)
    assert made.progress.divergences == 1
    assert_identical(made.state(), whole.state())
    assert made.notes.losses == whole.notes.losses


def test_a_run_that_was_stopped_around_going_back_comes_to_the_same_bits(tmp_path: Path) -> None:
    def made(folder: str, **options: Any) -> Miniature:
        run = Miniature(tmp_path / folder, **options)
        objective = run.run.objective

        def steep(batch: Batch) -> Loss:  # diverges at this rate and only at this one
            loss = objective(batch)
            bad = run.progress.update == 8 and not run.progress.divergences
            return loss._replace(total=loss.total * float("inf")) if bad else loss

        run.run = replace(run.run, objective=steep)
        return run

    rules = {"updates": 16, "checkpoint_every": 5}
    whole = made("whole")
    whole.train(**rules)
    assert whole.progress.divergences == 1
    for stop in (5, 6, 7, 12):  # the checkpoint of an interruption is not the one that it goes back to
        first = made(f"halves{stop}", interrupt_after=stop)
        first.train(**rules)
        second = made(f"halves{stop}", seed=7)
        second.train(second.restore(), **rules)
        assert_identical(second.state(), whole.state())


def test_the_best_model_on_the_disk_stays_the_best(tmp_path: Path) -> None:
    made = Miniature(tmp_path, scores=[9, 5.0, 5.0, 1.0] + [3.0] * 30)
    explodes(made, 4, often=1)
    made.train(updates=8, checkpoint_every=2, validate_every=1)
    assert (made.progress.best, made.progress.best_update) == (1.0, 3)
    assert made.kept == [1, 3]


def test_a_run_that_goes_on_diverging_stops_and_leaves_its_last_checkpoint(tmp_path: Path) -> None:
    made = Miniature(tmp_path, optimizer="sgd")
    explodes(made, *range(6, 20))
    words = r"training diverged: loss nan.*update 6, after going back 3 times.*checkpoint of update 5 is intact"
    with pytest.raises(UserError, match=words):
        made.train(updates=20, checkpoint_every=5)
    assert made.checkpoints.latest().name == "step-5"
    fresh = Miniature(tmp_path, optimizer="sgd", seed=4)
    fresh.restore()
    assert all(parameter.isfinite().all() for parameter in fresh.model.parameters())


def test_a_gradient_without_end_is_a_divergence(tmp_path: Path) -> None:
    made = Miniature(tmp_path)

    def steep(batch: Batch) -> Loss:
        loss = sequence_loss(made.model, batch)
        return loss._replace(total=loss.total * 1e38 * 1e38)

    made.run = replace(made.run, objective=steep)
    with pytest.raises(UserError, match=r"training diverged.*update 1;"):
        made.train(updates=3, divergence_retries=0)


def test_what_the_scaler_skips_is_no_divergence(tmp_path: Path) -> None:
    """float16: a gradient that overflows is skipped, the scale halved, and the run goes on."""
    made = Miniature(tmp_path, schedule=Schedule("constant", 0.05))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    made.parts = replace(made.parts, scaler=scaler)
    made.run = replace(made.run, parts=made.parts)
    before = made.state()["model"]
    batches = [made.run.source.batch([0, 1, 2], 0)]
    settings = replace(SETTINGS, precision="float16")
    found = step(replace(made.run, objective=huge(made)), settings, Progress(update=1), batches, rate=0.1)
    assert found.finite
    assert found.norm == 0.0
    assert scaler.get_scale() == 2.0**126
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.model.state_dict().items())


def huge(made: Miniature) -> Any:
    def objective(batch: Batch) -> Loss:
        with torch.autocast("cpu", enabled=False):
            loss = sequence_loss(made.model, batch)
        return loss._replace(total=loss.total * 1e3)

    return objective
