"""`s2s compare` and `s2s tune` as programs: stopped and gone on with, failures told, bad input refused."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

import pytest
from cli_tools import SMALL, ran, refused, s2s, same_run, snapshot, started, train

from s2s.sweeps.supervise import Source

TINY = (
    "date-attention",
    *SMALL,
    "data.train_size=200",
    "data.valid_size=20",
    "data.test_size=20",
    "training.batch_size=16",
    "training.epochs=none",
    "training.schedule=constant",
    "training.validate_every=5",
)
SPACE = """
base = "date-attention"
trials = 3
[fixed]
data = { train_size = 200, valid_size = 20, test_size = 20 }
model.hidden_size = 16
training = { epochs = "none", updates = 10, validate_every = 5, schedule = "constant", threads = 1, samples = 0 }
[space]
training.learning_rate = { type = "float", low = 1e-3, high = 1e-2, log = true }
"""


def has_validated(runs: list[Path]) -> None:
    end = time.monotonic() + 90
    while not all(run.is_file() and "valid" in run.read_text() for run in runs):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on_and_comes_to_the_same(here: Path) -> None:
    words = ["compare", *TINY, "training.updates=60", "training.seed=1,2", "--jobs", "2", "-o", "out"]
    first = here / "out" / "runs" / "seed-1"
    with started(words, here) as process:
        has_validated([first / "metrics.jsonl", first.with_name("seed-2") / "metrics.jsonl"])
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"The same command goes on" in said
    assert (first / "checkpoints" / "latest").is_file()
    assert not (first / "README.md").exists()
    result = s2s(*words)
    assert result.code == 0, result.err
    assert "seed-1: goes on" in result.err
    train(here / "out" / "runs" / "seed-1.toml", "-o", here / "whole")
    assert same_run(here / "whole", first)
    before = snapshot(here / "out" / "runs")
    again = s2s(*words)
    assert again.code == 0, again.err
    assert "2 runs, 2 of them done" in again.err
    assert snapshot(here / "out" / "runs") == before
    assert {"report.md", "report.html", "runs.csv", "curves.csv"} <= {path.name for path in (here / "out").iterdir()}
    other = s2s(*(word.replace("=60", "=70") for word in words))
    refused(other, "training.updates was 60 and is 70")


def test_a_run_that_fails_is_reported_and_tried_again_if_wanted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["compare", *TINY, "training.updates=10", "training.divergence_retries=0", "-o", "out"]
    words.append("training.learning_rate=0.01,1e38")
    result = ran(*words, folder=here)
    assert result.code == 1, result.err
    assert "training diverged" in result.out
    with (here / "out" / "runs.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done", "failed"]
    left = s2s(*words, "--leave-failed")
    assert left.code == 1
    assert "1 failed before and left" in left.err
    assert "goes on" not in left.err
    tried: list[str] = []

    def one_try(source: Source, _limit: int, _say: object) -> str:
        while job := source.next():
            tried.append(job.name)
        return ""

    monkeypatch.setattr("s2s.sweeps.compare.supervise", one_try)
    assert "1 failed before and tried again" in s2s(*words).err
    assert tried == ["learning_rate-1e+38"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["model.cor=lstm,gru"], ["model.cor: unknown key", "did you mean model.core?"]),
        (["model.core=lstm,gru", "model.core=rwa,sru"], ["model.core", "given twice"]),
        (["model.core=lstm,"], ["empty value"]),
        (["model.core=lstm"], ["nothing varies"]),
    ],
)
def test_bad_grids_start_nothing(here: Path, words: list[str], parts: list[str]) -> None:
    refused(s2s("compare", "date-attention", *words, "-o", "out"), *parts)
    assert not (here / "out").exists()


def test_an_empty_axis_in_a_file(here: Path) -> None:
    (here / "grid.toml").write_text('base = "date-attention"\n[grid]\nmodel.core = []\n')
    refused(s2s("compare", "grid.toml"), "model.core", "an axis without values")
    assert list(here.iterdir()) == [here / "grid.toml"]


def test_folders_that_are_not_ours(here: Path) -> None:
    (here / "file").write_text("")
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("")
    before = snapshot(here)
    words = ["compare", "date-attention", "model.core=lstm,gru", "-o"]
    refused(s2s(*words, "file"), "is a file", "-o")
    refused(s2s(*words, "file/below"), "can't be written to", "-o")
    refused(s2s(*words, "full"), "left alone", "-o")
    assert snapshot(here) == before


@pytest.mark.slow
def test_a_study_and_its_best_recipe(here: Path) -> None:
    (here / "dates.toml").write_text(SPACE)
    result = ran("tune", "dates.toml", "--jobs", "2", "-o", "out", folder=here)
    assert result.code == 0, result.err
    assert "Warning" not in result.err
    assert result.out.startswith("Best")
    assert "trial-0002: complete" in result.err
    with (here / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = max(float(row["value"]) for row in rows)
    shown = s2s("config", "show", "out/best.toml")
    assert shown.code == 0
    rates = [row["training.learning_rate"] for row in rows if float(row["value"]) == best]
    assert any(f"learning_rate = {rate}\n" in shown.out for rate in rates)
    again = s2s("tune", "dates.toml", "-o", "out")
    assert again.code == 0, again.err
    assert "trial-" not in again.err
    (here / "dates.toml").write_text(SPACE.replace("high = 1e-2", "high = 1e-1"))
    refused(s2s("tune", "dates.toml", "-o", "out"), "another search space", "training.learning_rate")
    assert s2s("tune", "dates.toml", "training.updats=3").code == 2
