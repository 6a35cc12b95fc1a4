"""`s2s compare`: train every run of a grid, go on where it stopped, and write one report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.say import say
from s2s.config import Config
from s2s.errors import UserError
from s2s.evaluation.words import as_text
from s2s.sweeps.board import Board
from s2s.sweeps.place import cores, opened, share, write_recipe
from s2s.sweeps.plan import Combination, Plan, combinations, label, read_plan
from s2s.sweeps.published import Curve, read_curves
from s2s.sweeps.ran import Ran, read_run
from s2s.sweeps.report import write_report
from s2s.sweeps.spec import Threshold
from s2s.sweeps.summary import Comparison, by_setting, make_groups, rule
from s2s.sweeps.supervise import Job, supervise
from s2s.training.files import write_text

MARK = "compare.toml"
STOPPED = {"interrupted": 130, "terminated": 143}
"""Ends that were asked for, with the exit code that a shell gives to the signal."""


@dataclass(frozen=True)
class CompareRequest:
    """The words of `s2s compare`."""

    words: Sequence[str]
    out: Path | None = None
    jobs: int | None = None
    threshold: float | None = None
    consecutive: int = 1
    published: Path | None = None
    leave_failed: bool = False
    report_only: bool = False


def compare_verb(request: CompareRequest, console: Console) -> tuple[int, str]:
    """Train what is not done, then report; the exit code (1: some run failed) and the tables as text."""
    threshold = None
    if request.threshold is not None:
        threshold = Threshold(value=request.threshold, consecutive=request.consecutive)
    plan = _with_published(read_plan(request.words, threshold), request.published)
    runs = combinations(plan)
    metric = runs[0].config.training.metric
    curves = _published(plan, metric)
    out = request.out or Path("runs") / f"compare-{plan.name}"
    jobs, threads = share([one.config for one in runs], request.jobs)
    with opened(out, MARK, "a comparison") as place:
        work = [(one, Job(one.name, place, threads)) for one in runs]
        for one, job in work:
            write_recipe(job, one.config, f"one run of a comparison: {label(one.values)}")
        write_text(out / MARK, plan_text(plan))
        if not request.report_only:
            asked = _train(work, request, jobs, console, metric)
            if asked:
                say(console, "Saved what was under way. The same command goes on with it.")
                return STOPPED[asked], ""
        members = by_setting([(one, read_run(job.folder, job.log)) for one, job in work])
        groups = make_groups(members, plan.axes)
        comparison = Comparison(
            title=_title(plan),
            metric=metric,
            axes=plan.axes,
            groups=groups,
            threshold=plan.threshold,
            published=curves,
            loss_unit=_loss_unit([one.config for one in runs]),
        )
        tables = write_report(out, comparison, _facts(plan, runs, jobs), console)
    say(console, f"report: {out / 'report.html'}")
    return int(any(ran.state == "failed" for _, ran in members)), as_text(tables)


def _with_published(plan: Plan, file: Path | None) -> Plan:
    """The plan with the file of published curves that the command line names."""
    if file is None:
        return plan
    if plan.published is None:
        raise UserError(f"--published {file}: the grid names no curves; expected [published] with its curves in a file")
    return replace(plan, published=plan.published.model_copy(update={"file": str(file)}))


def _published(plan: Plan, metric: str) -> list[Curve]:
    """Read before anything starts."""
    if plan.published is None or not plan.published.file:
        return []
    found = read_curves(plan.published, metric)
    keys = [axis.key for axis in plan.axes]
    unknown = [key for curve in found for key in curve.where if key not in keys]
    if unknown:
        raise UserError(f"published: where = {unknown[0]!r} is no key of the grid; expected {', '.join(keys)}")
    return found


def _train(
    work: Sequence[tuple[Combination, Job]], request: CompareRequest, jobs: int, console: Console, metric: str
) -> str:
    """Train what is not done; which signal stopped it, if one did."""
    states = {job.name: read_run(job.folder, job.log) for _, job in work}
    over = {"done", "failed"} if request.leave_failed else {"done"}
    todo = [(one, job) for one, job in work if states[job.name].state not in over]
    kept = sum(ran.state == "done" for ran in states.values())
    failed = sum(ran.state == "failed" for ran in states.values())
    before = f", {kept:,} of them done" if kept else ""
    if failed:
        before += f", {failed:,} failed before and {'left' if request.leave_failed else 'tried again'}"
    say(console, f"{len(work):,} runs{before}; {min(jobs, max(1, len(todo)))} at once on {cores()} cores")
    with Board(console, metric, len(work), len(work) - len(todo)) as board:
        return supervise(_Queue(todo, board), jobs, lambda text: say(console, text))


class _Queue:
    """The runs of a grid in order; those that end badly are told of and left."""

    def __init__(self, todo: Sequence[tuple[Combination, Job]], board: Board) -> None:
        self._todo: Iterator[tuple[Combination, Job]] = iter(todo)
        self._board = board

    def next(self) -> Job | None:
        for one, job in self._todo:
            words = "goes on" if read_run(job.folder, job.log).state in ("unfinished", "failed") else "begins"
            self._board.started(job.name, one.config.training.updates, words)
            return job
        return None

    def look(self, job: Job, rows: Sequence[dict[str, Any]]) -> bool:
        self._board.moved(job.name, rows)
        return False

    def ended(self, job: Job, code: int) -> None:
        ran = read_run(job.folder, job.log)
        self._board.ended(job.name, outcome(ran, code), counts=ran.state in ("done", "failed"))

    def tick(self) -> None:
        self._board.tick()


def outcome(ran: Ran, code: int) -> str:
    """How a run ended, in words."""
    if ran.state == "done":
        return f"done in {ran.seconds or 0:,.0f} s"
    if ran.state == "failed":
        return f"failed: {ran.why}"
    return "stopped and saved" if code in STOPPED.values() else f"ended with {describe(code)}"


def describe(code: int) -> str:
    """An exit code, or the signal that ended a process."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _title(plan: Plan) -> str:
    return f"Comparison {plan.name}"


def _loss_unit(configs: Sequence[Config]) -> str:
    """Of the loss of all runs, as far as their configuration tells."""
    found = {one.training.loss if one.model.kind == "predictor" else "nats a token" for one in configs}
    units = {"nats a token": "nats a token", "mse": "squared error", "cross_entropy": "nats"}
    return units.get(found.pop(), "") if len(found) == 1 else ""


def _facts(plan: Plan, runs: Sequence[Combination], jobs: int) -> list[tuple[str, str]]:
    """What the page begins with."""
    found = [("Recipe", plan.base), *((key, str(value)) for key, value in plan.fixed.items())]
    for axis in plan.axes:
        found.append((axis.key, ", ".join(map(str, axis.values))))
        found += [(f"{axis.key} {name}", _keys(keys)) for name, keys in axis.sets.items()]
    if plan.threshold is not None:
        found.append(("Threshold", rule(plan.threshold, runs[0].config.training.metric)))
    if plan.published is not None:
        file = plan.published.file
        found.append(("Published curves", f"{file}; seconds and memory are not there" if file else "no file given"))
    return [*found, ("Measured", f"with at most {jobs} runs at once on {cores()} cores, which seconds depend on")]


def _keys(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in keys.items())


def plan_text(plan: Plan) -> str:
    """The plan as the TOML file that makes it again."""
    import tomlkit

    tree: dict[str, Any] = {"base": plan.base}
    if plan.fixed:
        tree["fixed"] = dict(plan.fixed)
    if sets := {axis.key: {name: dict(keys) for name, keys in axis.sets.items()} for axis in plan.axes if axis.sets}:
        tree["sets"] = sets
    if grid := {axis.key: list(axis.values) for axis in plan.axes if not axis.sets}:
        tree["grid"] = grid
    if plan.threshold is not None:
        tree["threshold"] = plan.threshold.model_dump()
    if plan.published is not None:
        tree["published"] = plan.published.model_dump()
    return tomlkit.dumps(tree)
