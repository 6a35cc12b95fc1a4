"""What a run's folder tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from s2s.build.folder import RunFolder
from s2s.sweeps.ran import best_of, count_parameters, first_beyond, last_attempt, read_run


@pytest.mark.parametrize(
    ("values", "consecutive", "step"),
    [
        ([3, 2, 0.5, 0.4, 0.3], 3, 30),
        ([0.5, 2, 0.5, 0.4, 0.3], 3, 30),
        ([0.5, 2, 0.5, 0.4], 3, None),
        ([1.0, 1.0], 1, None),
        ([float("nan"), 0.5], 1, 20),
        ([], 1, None),
    ],
)
def test_first_of_several_in_a_row(values: list[float], consecutive: int, step: int | None) -> None:
    curve = [(10 * number, value) for number, value in enumerate(values, start=1)]
    assert first_beyond("loss", curve, 1.0, consecutive) == step
    mirrored = [(place, -value) for place, value in curve]
    assert first_beyond("bleu", mirrored, -1.0, consecutive) == step


@given(st.lists(st.floats(0, 2), max_size=30), st.integers(1, 5))
def test_it_is_the_first_window_that_is_beyond(values: list[float], consecutive: int) -> None:
    windows = [start for start in range(len(values)) if len(values[start : start + consecutive]) == consecutive]
    wanted = next((start for start in windows if max(values[start : start + consecutive]) < 1), None)
    assert first_beyond("loss", list(enumerate(values)), 1.0, consecutive) == wanted


def test_the_best_by_the_metric() -> None:
    assert best_of("loss", [3.0, float("nan"), 1.0, 2.0]) == 1.0
    assert best_of("bleu", [3.0, 4.0, 2.0]) == 4.0
    assert best_of("bleu", [float("nan")]) is None


def test_parameters_are_counted_by_the_header(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(()), "c": torch.zeros(5)}, tmp_path / "x.safetensors")
    assert count_parameters(tmp_path / "x.safetensors") == 18
    assert count_parameters(tmp_path / "none") is None


def test_a_line_being_written_is_left_out(tmp_path: Path) -> None:
    row = {"event": "valid", "step": 1, "seconds": 0.5, "loss": 1.0}
    (RunFolder(tmp_path).metrics).write_text(json.dumps(row) + '\n{"event": "val')
    assert RunFolder(tmp_path).log_lines() == [row]


def states(folder: Path, log: str, *, card: bool = False, checkpoint: bool = False) -> tuple[str, str]:
    run = RunFolder(folder / "run")
    if checkpoint:
        (run.checkpoints / "step-3").mkdir(parents=True)
        run.config.write_text("")
        run.about.write_text('{"format": 1, "vocabulary": "", "identity": {}}')
    if card:
        run.path.mkdir(exist_ok=True)
        run.card.write_text("")
    (folder / "run.log").write_text(log)
    found = read_run(run, folder / "run.log")
    return found.state, found.why


def test_states(tmp_path_factory: pytest.TempPathFactory) -> None:
    error = "$ s2s train x\nerror: training diverged: loss\n"
    new, made = tmp_path_factory.mktemp, {"checkpoint": True}
    assert states(new("a"), "") == ("new", "")
    assert states(new("b"), "", **made) == ("unfinished", "")
    assert states(new("c"), error, **made) == ("failed", "training diverged: loss")
    assert states(new("d"), error + "$ s2s train --resume x\nSaved.\n", **made) == ("unfinished", "")
    assert states(new("e"), "", **made, card=True) == ("done", "")
    crash = "$ s2s train x\nTraceback (most recent call last):\n  File\nKeyError: 3\n"
    assert states(new("f"), crash, **made) == ("failed", "KeyError: 3")
    assert states(new("g"), crash.replace("KeyError: 3", "KeyboardInterrupt"), **made) == ("unfinished", "")


def test_memory_is_that_of_the_last_attempt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "$ s2s train a\nEnded. Peak memory 9,999 MiB.\n$ s2s train --resume a\nEnded. Peak memory 1,234 MiB.\n"
    )
    assert "9,999" not in last_attempt(log)
    assert read_run(RunFolder(tmp_path / "run"), log).peak_mib == 1234
