"""A study: what is drawn, when a trial is stopped, who does a lost one again, and which database is refused."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s2s.build.say import make_console
from s2s.config.io import check, read_toml
from s2s.errors import MissingExtraError, UserError
from s2s.sweeps.board import Board
from s2s.sweeps.findings import write_findings
from s2s.sweeps.goal import Goal, read_goal
from s2s.sweeps.study import Study
from s2s.sweeps.supervise import Job
from s2s.sweeps.tune import PUT_BACK, _Trials

SPACE = """
base = "date-attention"
trials = 4
metric = "loss"
[fixed]
training.updates = 50
[space]
training.learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
model.hidden_size = { type = "int", low = 16, high = 64, step = 16 }
model.core = { type = "categorical", choices = ["lstm", "gru"] }
[pruner]
startup = 1
"""


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    """A study asks for some of Optuna's warnings to be silent: as in the program, in a context of their own."""
    with warnings.catch_warnings():
        yield


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


def change(space: Path, *words: str, old: str = "", new: str = "") -> Goal:
    assert old in SPACE
    space.write_text(SPACE.replace(old, new, 1))
    return read_goal([str(space), *words])


def trials(study: Study, folder: Path) -> _Trials:
    (folder / "runs").mkdir(exist_ok=True)
    return _Trials(study, folder / "runs", 1, Board(make_console(), "loss", study.goal.trials, 0))


def next_job(source: _Trials) -> Job:
    job = source.next()
    assert job is not None
    return job


def valid(*losses: float) -> list[dict[str, Any]]:
    return [
        {"event": "valid", "step": 10 * number, "seconds": float(number), "loss": loss}
        for number, loss in enumerate(losses, start=1)
    ]


def leave(job: Job, rows: list[dict[str, Any]], *, done: bool = True, log: str = "") -> None:
    """The folder of a run as it would be."""
    job.folder.path.mkdir(exist_ok=True)
    job.folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job.log.write_text(f"$ s2s train x\n{log}")
    if done:
        job.folder.card.write_text("")


def finish(source: _Trials, job: Job, *losses: float) -> None:
    source.look(job, valid(*losses))
    leave(job, valid(*losses))
    source.ended(job, 0)


def test_trials_are_checked_configurations_within_the_space(space: Path, tmp_path: Path) -> None:
    source = trials(Study(read_goal([str(space)]), tmp_path), tmp_path)
    jobs = [next_job(source) for _ in range(4)]
    assert source.next() is None
    for job in jobs:
        config = check(read_toml(job.recipe), "x")
        assert config.model.hidden_size in (16, 32, 48, 64)
        assert 1e-4 <= config.training.learning_rate <= 1e-1
        assert (config.training.updates, config.training.metric) == (50, "loss")
    assert len({job.recipe.read_text() for job in jobs}) == 4


def test_the_same_seed_draws_the_same_also_after_a_stop(space: Path, tmp_path: Path) -> None:
    goal = read_goal([str(space)])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trials(Study(goal, tmp_path / "a"), tmp_path / "a")
    rates = []
    for _ in range(3):
        job = next_job(whole)
        finish(whole, job, 1.0)
        rates.append(check(read_toml(job.recipe), "x").training.learning_rate)
    for number in range(3):  # a program of its own for each trial
        source = trials(Study(goal, tmp_path / "b"), tmp_path / "b")
        job = next_job(source)
        assert job.name == f"trial-{number:04d}"
        finish(source, job, 1.0)
        assert check(read_toml(job.recipe), "x").training.learning_rate == rates[number]


def test_bad_trials_are_stopped_by_the_median_of_others(space: Path, tmp_path: Path) -> None:
    study = Study(read_goal([str(space)]), tmp_path)
    source = trials(study, tmp_path)
    finish(source, next_job(source), 1.0, 0.5)
    bad, good = next_job(source), next_job(source)
    assert source.look(bad, valid(2.0))
    assert not source.look(good, valid(0.9))
    assert not source.look(good, valid(0.9, 0.4))
    leave(bad, valid(2.0), done=False)
    source.ended(bad, 143)
    leave(good, valid(0.9, 0.4, 0.6))
    source.ended(good, 0)
    found = {trial.number: (trial.state.name, trial.value) for trial in study.trials()}
    assert found == {0: ("COMPLETE", 0.5), 1: ("PRUNED", 2.0), 2: ("COMPLETE", 0.4)}
    assert "median of others after 1 validation" in study.trials()[1].user_attrs["why"]


def test_exploding_trials_are_pruned(space: Path, tmp_path: Path) -> None:
    study = Study(read_goal([str(space)]), tmp_path)
    source = trials(study, tmp_path)
    went_back, gave_up = next_job(source), next_job(source)
    assert source.look(went_back, [*valid(3.0), {"event": "diverged", "step": 7, "seconds": 1.0, "text": ""}])
    leave(went_back, valid(3.0), done=False)
    source.ended(went_back, 143)
    leave(gave_up, [], done=False, log="error: training diverged: loss nan\n")
    source.ended(gave_up, 2)
    assert [trial.state.name for trial in study.trials()] == ["PRUNED", "PRUNED"]
    assert all("exploded" in trial.user_attrs["why"] for trial in study.trials())


def test_a_stopped_trial_is_gone_on_with(space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(read_goal([str(space)]), tmp_path)
    source = trials(study, tmp_path)
    job = next_job(source)
    recipe = job.recipe.read_text()
    leave(job, valid(2.0), done=False)
    source.ended(job, 130)
    assert PUT_BACK in capsys.readouterr().err
    assert study.trials() == []
    again = next_job(trials(Study(read_goal([str(space)]), tmp_path), tmp_path))
    assert (again.name, again.recipe.read_text()) == (job.name, recipe)


def test_what_a_killed_program_left_running_is_gone_on_with(space: Path, tmp_path: Path) -> None:
    goal = read_goal([str(space)])
    lost = [next_job(trials(Study(goal, tmp_path), tmp_path)).name]  # each a program that is killed
    lost.append(next_job(trials(Study(goal, tmp_path), tmp_path)).name)
    assert lost == ["trial-0000", "trial-0000"]
    source = trials(Study(goal, tmp_path), tmp_path)
    names = [next_job(source).name for _ in range(4)]
    assert names[0] == "trial-0000"
    assert len(set(names)) == 4
    assert source.next() is None


def test_another_machine_takes_over_what_gives_no_sign_of_life(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s.sweeps.study.BEAT", 1)
    monkeypatch.setattr("s2s.sweeps.study.GRACE", 2)
    goal, url = read_goal([str(space)]), f"sqlite:///{tmp_path}/shared.db"
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    study = Study(goal, here, url=url)
    mine = [study.ask() for _ in range(2)]
    assert mine[0] is not None
    assert mine[1] is not None
    study.values(mine[0])
    drawn = study.values(mine[1])
    other = Study(goal, there, url=url)
    assert [trial.state.name for trial in other.trials()] == ["RUNNING", "RUNNING"]
    import time

    time.sleep(1.5)
    study.beat(mine[0])
    time.sleep(1.6)
    taken = other.ask()
    assert taken is not None
    assert taken.user_attrs["of"] == mine[1].number
    assert other.values(taken) == drawn
    assert [trial.number for trial in other.trials()] == [0, 2]


def test_failures_are_told_and_a_hopeless_study_ends(space: Path, tmp_path: Path) -> None:
    study = Study(read_goal([str(space)]), tmp_path)
    source = trials(study, tmp_path)
    jobs = [next_job(source) for _ in range(3)]
    for job in jobs:
        leave(job, [], done=False, log="error: no such file\n")
    source.ended(jobs[0], 2)
    source.ended(jobs[1], 2)
    with pytest.raises(UserError, match=r"first 3 trials failed.*no such file"):
        source.ended(jobs[2], 2)
    assert {trial.state.name for trial in study.trials()} == {"FAIL"}


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("high = 64", "high = 80", ["model.hidden_size", "64", "80"]),
        ("updates = 50", "updates = 60", ["training.updates was 50 and is 60"]),
        ('metric = "loss"', 'metric = "bleu"', ["metric was 'loss' and is 'bleu'"]),
        ('model.core = { type = "categorical", choices = ["lstm", "gru"] }', "", ["space.model.core", "not there"]),
    ],
)
def test_a_database_of_another_space_is_refused(
    space: Path, tmp_path: Path, old: str, new: str, parts: list[str]
) -> None:
    Study(read_goal([str(space)]), tmp_path)
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(UserError) as caught:
        Study(change(space, old=old, new=new), tmp_path)
    assert all(part in str(caught.value) for part in ["another search space", *parts]), caught.value
    assert (tmp_path / "study.db").read_bytes() == before


def test_more_trials_are_no_other_space(space: Path, tmp_path: Path) -> None:
    Study(read_goal([str(space)]), tmp_path)
    Study(change(space, old="trials = 4", new="trials = 40"), tmp_path)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("nonsense", ["nonsense", "no database"]),
        ("sqlite:////no/such/folder/x.db", ["/no/such/folder/x.db", "no database"]),
        ("nosuch://user:secret@host/x", ["user:***@host", "no database"]),
    ],
)
def test_databases_that_are_none(space: Path, tmp_path: Path, url: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        Study(read_goal([str(space)]), tmp_path, url=url)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(space: Path, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database " * 100)
    with pytest.raises(UserError, match="no database for a study"):
        Study(read_goal([str(space)]), tmp_path)


def test_without_optuna_the_pip_line_is_named(space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 's2s\[tune\]'"):
        Study(read_goal([str(space)]), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('metric = "loss"', 'metric = "exact_mach"', ["exact_mach", "did you mean exact_match?"]),
        ("training.learning_rate =", "training.learning_rates =", ["unknown key", "training.learning_rate?"]),
        ("low = 1e-4", "low = 1.0", ["training.learning_rate", "low below high"]),
        ("low = 1e-4", "low = 0.0", ["training.learning_rate", "log = true", "above 0"]),
        ("low = 16, high = 64, step = 16", "low = 0, high = 64", ["nothing was started", "model.hidden_size = 0"]),
        ('"lstm", "gru"', '"lstm", "gruu"', ["nothing was started", "gruu"]),
        ('type = "float"', 'type = "flat"', ["training.learning_rate", "'flat'"]),
        ("[fixed]", "[fixed]\nmodel.core = 'gru'", ["model.core is fixed and in [space]"]),
        ("trials = 4", "", ["trials", "missing"]),
        ("trials =", "trails =", ["trails: unknown key; did you mean trials?"]),
        ("[space]", "[other]", ["space", "missing"]),
    ],
)
def test_files_that_are_refused(space: Path, old: str, new: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        change(space, old=old, new=new)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_words_win_over_fixed_keys_and_have_one_value(space: Path) -> None:
    assert read_goal([str(space), "training.updates=9"]).tree["training"]["updates"] == 9
    with pytest.raises(UserError, match=r"training\.updates: several values"):
        read_goal([str(space), "training.updates=9,10"])


def test_what_was_found(space: Path, tmp_path: Path) -> None:
    study = Study(change(space, old="trials = 4", new="trials = 6"), tmp_path)
    source = trials(study, tmp_path)
    for number in range(5):
        finish(source, next_job(source), 1.0, 0.9 - 0.1 * number)
    bad = next_job(source)
    source.look(bad, valid(5.0))
    leave(bad, valid(5.0), done=False)
    source.ended(bad, 143)
    tables = write_findings(tmp_path, study, [], make_console())
    best = check(read_toml(tmp_path / "best.toml"), "best.toml")
    assert best == check(read_toml(tmp_path / "runs" / "trial-0004.toml"), "x")
    assert [row[0] for row in tables[1].rows] == ["4", "3", "2", "1", "0", "5"]
    assert (tmp_path / "trials.csv").read_text().count("\n") == 7
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"history.png", "importances.png", "slices.png", "curves.png"}
    assert abs(sum(study.importances().values()) - 1) < 1e-6
    assert "5 complete, 1 pruned, 0 fail" in (tmp_path / "report.md").read_text()


def test_a_study_without_a_complete_trial_has_no_best(space: Path, tmp_path: Path) -> None:
    study = Study(read_goal([str(space)]), tmp_path)
    with pytest.raises(UserError, match="none of 0 trials is complete"):
        write_findings(tmp_path, study, [], make_console())
    assert not (tmp_path / "best.toml").exists()
