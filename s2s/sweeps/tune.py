"""`s2s tune`: search the space by trials that are runs, stop bad ones early, and write the best configuration."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from s2s.build.say import say
from s2s.config.io import check
from s2s.errors import UserError
from s2s.evaluation.words import as_text
from s2s.sweeps.board import Board
from s2s.sweeps.compare import STOPPED, describe
from s2s.sweeps.findings import write_findings
from s2s.sweeps.goal import read_goal
from s2s.sweeps.place import cores, opened, share, write_recipe
from s2s.sweeps.plan import label
from s2s.sweeps.ran import DIVERGED, Ran, best_of, read_run
from s2s.sweeps.study import BEAT, Study, first_number
from s2s.sweeps.supervise import Job, supervise
from s2s.training.files import write_text

if TYPE_CHECKING:
    import optuna

MARK = "tune.toml"
PUT_BACK = "stopped and saved"
_ALONE = ("training.plots=false", "training.final_test=false")
"""Trials are told apart by validation: test examples stay unseen until the best configuration is trained."""
_HOPELESS = 3
"""So many failed trials and no other: something is wrong that no values mend."""


@dataclass(frozen=True)
class TuneRequest:
    """The words of `s2s tune`."""

    words: Sequence[str]
    out: Path | None = None
    jobs: int | None = None
    storage: str = ""
    study: str = ""


def tune_verb(request: TuneRequest, console: Console) -> tuple[int, str]:
    """Run trials until there are enough, then report; the exit code and the tables as text."""
    goal = read_goal(request.words)
    out = request.out or Path("runs") / f"tune-{goal.name}"
    jobs, threads = share([check(goal.tree, goal.base)] * goal.trials, request.jobs)
    with opened(out, MARK, "a study") as place, warnings.catch_warnings():
        study = Study(goal, out, url=request.storage, name=request.study)
        if any(place.glob("*.toml")) and not study.begun:
            raise UserError(f"{place}: holds runs of a study that is not in the database; choose another folder (-o)")
        write_text(out / MARK, goal.path.read_text(encoding="utf-8"))
        say(console, f"{goal.trials:,} trials for {goal.direction[:3]}imal {goal.metric}; {jobs} at once")
        with Board(console, goal.metric, goal.trials, len(study.trials())) as board:
            trials = _Trials(study, place, threads, board)
            asked = supervise(trials, jobs, lambda text: say(console, text))
        if asked:
            say(console, "Saved what was under way. The same command goes on with it.")
            return STOPPED[asked], ""
        tables = write_findings(
            out, study, [("Measured", f"with at most {jobs} runs at once on {cores()} cores")], console
        )
    return 0, as_text(tables)


class _Trials:
    """Trials as runs: asked for, followed by their validations, pruned, and told to the study."""

    def __init__(self, study: Study, place: Path, threads: int, board: Board) -> None:
        self._study, self._place, self._threads, self._board = study, place, threads, board
        self._running: dict[str, _Trial] = {}
        self._enough = False
        self._failed = self._good = 0
        self._last_beat = time.monotonic()

    def next(self) -> Job | None:
        while not self._enough:
            trial = self._study.ask()
            if trial is None:
                self._enough = True
                break
            values = self._study.values(trial)
            job = Job(f"trial-{first_number(trial):04d}", self._place, self._threads, more=_ALONE)
            try:
                config = self._study.goal.config(values)
            except UserError as error:
                self._study.fail(trial, str(error))
                self._count_failure(job.name, str(error))
                continue
            write_recipe(job, config, f"trial {first_number(trial)} of a study: {label(values)}")
            self._running[job.name] = _Trial(trial)
            self._board.started(job.name, config.training.updates, label(values))
            return job
        return None

    def look(self, job: Job, rows: Sequence[dict[str, Any]]) -> bool:
        """Report each validation that is new; whether the trial is stopped: exploded, or worse than others."""
        self._board.moved(job.name, rows)
        one = self._running[job.name]
        if one.why:
            return True
        if any(row["event"] == "diverged" for row in rows):
            one.why = "exploded: a loss that is no number"
            return True
        metric = self._study.goal.metric
        values = [float(row[metric]) for row in rows if row["event"] == "valid" and metric in row]
        for value in values[one.reported :]:
            one.trial.report(value, one.reported)
            one.reported += 1
            if one.trial.should_prune():
                plural = "s" * (one.reported != 1)
                one.why = f"worse than the median of others after {one.reported} validation{plural}"
                return True
        return False

    def ended(self, job: Job, code: int) -> None:
        one = self._running.pop(job.name)
        words = self._tell(job, one, read_run(job.folder, job.log), code)
        self._board.ended(job.name, words, counts=words != PUT_BACK)

    def _tell(self, job: Job, one: _Trial, ran: Ran, code: int) -> str:
        """Tell the study how a trial ended; the same in words."""
        goal = self._study.goal
        value = best_of(goal.metric, [value for _, value in ran.curve(goal.metric)])
        one.trial.set_user_attr("seconds", ran.seconds)
        if one.why or ran.why.startswith(DIVERGED):
            why = one.why or "exploded: training diverged"
            self._study.prune(one.trial, why)
            self._good += 1
            return f"pruned ({why})"
        if ran.state == "done" and value is not None:
            self._study.complete(one.trial, value)
            self._good += 1
            return f"complete, best {goal.metric} {value:.4g}"
        if ran.state in ("unfinished", "new") and (code in STOPPED.values() or code < 0):
            self._study.put_back(one.trial)
            return PUT_BACK
        why = ran.why or f"ended with {describe(code)}"
        self._study.fail(one.trial, why)
        self._count_failure(job.name, why)
        return f"failed: {why}"

    def _count_failure(self, name: str, why: str) -> None:
        self._failed += 1
        if self._failed >= _HOPELESS and not self._good:
            raise UserError(
                f"the first {self._failed} trials failed, so the study was stopped; the last ({name}): {why}"
            )

    def tick(self) -> None:
        self._board.tick()
        if time.monotonic() - self._last_beat > BEAT:
            self._last_beat = time.monotonic()
            for one in self._running.values():
                self._study.beat(one.trial)


@dataclass
class _Trial:
    """A trial under way."""

    trial: optuna.Trial
    reported: int = 0
    """Validations told to the study."""
    why: str = ""
    """Why it is being stopped, if it is."""
