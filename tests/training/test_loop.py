"""The loop: exact resuming above all, and what comes round when."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from miniature import Found, Miniature, Source, assert_identical

from s2s import metrics
from s2s.errors import UserError
from s2s.models import Loss
from s2s.training.checkpoint import load_weights
from s2s.training.schedule import Kind, Schedule
from s2s.training.state import Progress


def comparable(progress: Progress) -> dict[str, Any]:
    """All of it but the clock."""
    return {name: value for name, value in asdict(progress).items() if name != "seconds"}


# ---- going on exactly


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "sgd"])
def test_resuming_is_bit_identical(optimizer: str, precision: str, tmp_path: Path) -> None:
    """20 = 10 + save + load into fresh objects + 10, in mid-epoch (8 batches each) and with dropout on."""
    whole = Miniature(tmp_path / "whole", optimizer=optimizer)
    whole.train(updates=20, precision=precision)
    first = Miniature(tmp_path / "halves", optimizer=optimizer)
    first.train(updates=10, precision=precision)
    assert first.progress.batch == 2
    second = Miniature(tmp_path / "halves", optimizer=optimizer, seed=77)
    second.train(second.restore(), updates=20, precision=precision)
    assert_identical(second.state(), whole.state())
    assert first.notes.losses + second.notes.losses == whole.notes.losses
    assert (second.progress.epoch, second.progress.batch, second.progress.tokens) == (2, 4, whole.progress.tokens)
    assert len(set(whole.notes.losses)) > 15  # it does move


@pytest.mark.parametrize("kind", get_args(Kind))
def test_resuming_is_bit_identical_with_every_schedule(kind: Kind, tmp_path: Path) -> None:
    schedule = Schedule(kind, 0.05, warmup=3, total=20, patience=0, every=4)
    rules = {"accumulate": 2, "validate_every": 2}
    scores = [5.0, 4.0] + [4.5] * 30
    whole = Miniature(tmp_path / "whole", schedule=schedule, scores=scores)
    whole.train(updates=20, **rules)
    first = Miniature(tmp_path / "halves", schedule=schedule, scores=scores)
    first.train(updates=10, **rules)
    second = Miniature(tmp_path / "halves", schedule=schedule, scores=scores, seed=77)
    second.train(second.restore(), updates=20, **rules)
    assert_identical(second.state(), whole.state())
    assert first.notes.rates + second.notes.rates == whole.notes.rates
    assert len(set(whole.notes.rates)) >= 3
    assert comparable(second.progress) == comparable(whole.progress)


def test_dropout_is_on_in_that_test(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    batch = Source().batch([0, 1, 2], 0)
    assert float(made.run.objective(batch).nll) != float(made.run.objective(batch).nll)


@pytest.mark.parametrize("stop", [1, 4, 7, 8, 13])
def test_an_interruption_anywhere_changes_nothing(stop: int, tmp_path: Path) -> None:
    """Also right at the end of an epoch, where the validation then happens after the resume."""
    whole = Miniature(tmp_path / "whole")
    whole.train(updates=16)
    first = Miniature(tmp_path / "halves", interrupt_after=stop)
    assert first.train(updates=16) == "interrupted"
    assert first.progress.update == stop == first.progress.saved
    assert first.notes.saves >= 1
    second = Miniature(tmp_path / "halves", seed=77)
    second.train(second.restore(), updates=16)
    assert_identical(second.state(), whole.state())
    assert comparable(second.progress) == comparable(whole.progress)
    assert first.notes.validations + second.notes.validations == whole.notes.validations
    assert first.kept + second.kept == whole.kept


def test_plateau_and_patience_are_part_of_the_state(tmp_path: Path) -> None:
    def made(folder: str, **options: Any) -> Miniature:
        scores = [5.0, 4.0, 4.5, 4.5, 4.5, 3.0] + [3.5] * 30
        schedule = Schedule("plateau", 0.05, factor=0.5, patience=1)
        return Miniature(tmp_path / folder, scores=scores, schedule=schedule, **options)

    rules = {"validate_every": 1, "updates": 30, "patience": 6}
    whole = made("whole")
    end = whole.train(**rules)
    assert end == "no progress in loss for 6 validations"
    assert whole.progress.update == 11
    # Validations 2 to 4 stall: one reduction after two of them; then from 6 on, after 7, 9 and 11.
    assert whole.notes.rates == pytest.approx([0.05] * 3 + [0.025] * 4 + [0.0125] * 2 + [0.00625] * 2)
    for stop in (1, 4, 6, 7, 10):
        first = made(f"halves{stop}", interrupt_after=stop)
        assert first.train(**rules) == "interrupted"
        second = made(f"halves{stop}", seed=7)
        assert second.train(second.restore(), **rules) == end
        assert first.notes.rates + second.notes.rates == whole.notes.rates
        assert comparable(second.progress) == comparable(whole.progress)
        assert_identical(second.state(), whole.state())


SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path[:0] = sys.argv[2:]
from miniature import Miniature
made = Miniature(Path(sys.argv[1]), seed=5)
made.train(made.restore(), updates=20)
"""


def test_another_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = Miniature(tmp_path / "whole")
    whole.train(updates=20)
    Miniature(tmp_path / "halves").train(updates=10)
    here = Path(__file__).parent
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "halves"), str(here), str(here.parent)]
    subprocess.run(command, check=True, timeout=120)
    left, right = whole.checkpoints.latest(), Miniature(tmp_path / "halves").checkpoints.latest()
    assert left.name == right.name == "step-20"
    for name in ("model.safetensors", "optimizer.safetensors", "generators.safetensors"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name


# ---- what comes round when


def test_validation_after_each_epoch_and_at_the_end(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    assert made.train(updates=19) == "19 updates done"
    assert [update for update, _ in made.notes.validations] == [8, 16, 19]
    assert made.checkpoints.latest().name == "step-19"
    assert made.notes.saves == 4  # before the first update and with each validation


def test_epochs_end_a_run_too(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    assert made.train(updates=None, epochs=2) == "2 epochs done"
    assert made.progress.update == 16
    assert [update for update, _ in made.notes.validations] == [8, 16]
    assert (made.progress.epoch, made.progress.batch) == (2, 0)


def test_minutes_end_a_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("s2s.training.loop.time.monotonic", lambda: now[0])
    made = Miniature(tmp_path)
    objective = made.run.objective

    def slow(batch: Any) -> Loss:
        now[0] += 10
        return objective(batch)

    made.run = replace(made.run, objective=slow)
    progress = Progress(seconds=30.0)  # of an earlier session
    assert made.train(progress, updates=None, minutes=1.0) == "1 minutes over"
    assert progress.update == 3
    assert progress.seconds == 60.0


def test_cadences(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    made.train(updates=12, validate_every=5, checkpoint_every=3)
    assert [update for update, _ in made.notes.validations] == [5, 10, 12]
    assert made.notes.saves == 5  # 0, 3, 6, 9, 12
    assert made.asked == 3


def test_no_updates_at_all(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    before = made.state()["model"]
    assert made.train(updates=0) == "0 updates done"
    assert made.notes.validations == [(0, True)]
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state()["model"].items())


def test_between_equal_values_the_lower_loss_is_kept(tmp_path: Path) -> None:
    """Where exact match stands at none (or all), the weights that are kept still get better; patience runs on."""
    losses = iter([3.0, 2.0, 2.5, 1.0])
    made = Miniature(
        tmp_path,
        validate=lambda: Found({"loss": next(losses), "exact_match": 0.0}),
        better=partial(metrics.better, "exact_match"),
    )
    made.train(updates=4, validate_every=1, metric="exact_match")
    progress = made.progress
    assert (progress.best, progress.best_loss, progress.best_update, progress.stale) == (0.0, 1.0, 4, 3)
    assert made.kept == [1, 2, 4]


def test_the_best_is_kept_not_the_last(tmp_path: Path) -> None:
    made = Miniature(tmp_path, scores=[9, 5.0, 3.0, 4.0, 2.0, 2.0, 7.0])
    made.train(updates=6, validate_every=1)
    assert made.kept == [1, 2, 4]
    assert [best for _, best in made.notes.validations] == [True, True, False, True, False, False]
    assert (made.progress.best, made.progress.best_update, made.progress.stale) == (2.0, 4, 2)
    assert load_weights(tmp_path / "model.safetensors", made.model)["update"] == "4"


def test_the_model_is_in_training_mode_again_after_a_validation(tmp_path: Path) -> None:
    made = Miniature(tmp_path)
    objective = made.run.objective

    def watched(batch: Any) -> Loss:
        assert made.model.training
        return objective(batch)

    made.run = replace(made.run, objective=watched)
    made.train(updates=5, validate_every=1)
    assert made.asked == 5


def test_rates_follow_the_schedule_and_gradients_are_clipped(tmp_path: Path) -> None:
    made = Miniature(tmp_path, optimizer="sgd", schedule=Schedule("constant", 0.5, warmup=4))
    before = made.state()["model"]
    made.train(updates=1, clip_norm=1e-3)
    after = made.state()["model"]
    moved = sum(float((after[name] - before[name]).pow(2).sum()) for name in before) ** 0.5
    assert made.notes.norms[0] > 0.1  # the norm before clipping is what the log gets
    assert moved == pytest.approx(0.125 * 1e-3, rel=1e-2)
    made.train(made.progress, updates=6, clip_norm=None)
    assert made.notes.rates == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_a_goal_ends_the_run_at_so_many_validations_in_a_row(tmp_path: Path) -> None:
    def made(folder: str, **options: Any) -> Miniature:
        return Miniature(tmp_path / folder, scores=[5.0, 1.0, 1.0, 2.0, 1.5, 1.0, 1.9] + [0.1] * 9, **options)

    rules = {"validate_every": 1, "updates": 30, "goal": 2.0, "goal_validations": 3}
    end = "loss was better than 2 in 3 validations in a row"
    whole = made("whole")
    assert whole.train(**rules) == end
    assert whole.progress.update == 6  # the third is no better than the goal, and the count begins anew
    first = made("halves", interrupt_after=5)
    assert first.train(**rules) == "interrupted"
    second = made("halves", seed=7)
    assert second.train(second.restore(), **rules) == end
    assert comparable(second.progress) == comparable(whole.progress)
    assert made("none").train(validate_every=1, updates=9) == "9 updates done"


def test_a_validation_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    made = Miniature(tmp_path, validate=lambda: Found({"loss": float("nan")}))
    assert made.train(updates=9, validate_every=1, patience=4) == "no progress in loss for 4 validations"
    assert made.kept == []


def test_no_batches_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    class Empty(Source):
        def plan(self, epoch: int) -> list[list[int]]:
            del epoch
            return []

    with pytest.raises(UserError, match="no batch to train on"):
        Miniature(tmp_path, source=Empty()).train(updates=1)


def test_a_failed_save_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Miniature(tmp_path)
    made.train(updates=4)

    def full(*_: object, **__: object) -> None:
        raise UserError("full")

    monkeypatch.setattr(made.checkpoints, "save", full)
    with pytest.raises(UserError, match="full"):
        made.train(made.progress, updates=5)
    assert made.progress.saved == 4


def test_what_an_interruption_saves_is_not_what_a_run_goes_back_to(tmp_path: Path) -> None:
    """Where a validation was due as well, it has not happened yet: the resumed run validates, and saves again."""
    made = Miniature(tmp_path, scores=[5.0] * 9, interrupt_after=4)
    made.train(updates=9, validate_every=4, checkpoint_every=4)
    assert (made.progress.update, made.progress.saved, made.progress.regular) == (4, 4, 0)
    second = Miniature(tmp_path, scores=[5.0] * 9)
    second.train(second.restore(), updates=9, validate_every=4, checkpoint_every=4)
    assert second.progress.regular == 8
