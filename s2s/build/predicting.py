"""A run of a sequence task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.folder import RunFolder
from s2s.build.machine import set_up
from s2s.build.predictor import Judge, build_predictor, build_task, choose_loss, judging_size
from s2s.build.say import say
from s2s.build.trainee import Start, Trainee
from s2s.config import Config
from s2s.errors import UserError
from s2s.models import Predictor, predictor_loss
from s2s.tasks import Task
from s2s.tasks.batch import TaskSource
from s2s.training.checkpoint import load_weights
from s2s.training.log import Validation
from s2s.training.state import Progress


def predictor_trainee(config: Config, start: Start, console: Console) -> Trainee:
    """Task and model.

    Raises:
        UserError: a task that cannot be made, or weights of another one.
    """
    training = config.training
    task = build_task(config.data)
    loss = choose_loss(training, task)
    machine = set_up(training, start.threads(config), start.processes)
    model = build_predictor(config.model, task)
    belongs = task_hash(task)
    if start.init_from is not None:
        load_weights(RunFolder(start.init_from).weights, model)  # perhaps of another length or seed
    if start.before is not None:
        check_task(start.before.about, belongs, task, start.before.folder)
    identity = machine.identity(config, belongs)
    assert training.batch_size is not None, "the configuration was checked"
    judge = Judge(task, loss, machine.device, machine.precision, judging_size(training, task))
    rows = task.splits.valid[: config.data.valid_size]
    examples = f"task {task.name}: {len(task.splits.train):,} examples an epoch"
    say(console, f"{examples}, {machine.describe(config, model)}")
    say(console, task.note)
    return Trainee(
        config,
        model.to(machine.device),
        identity,
        belongs,
        source=TaskSource(task, task.splits.train, training.batch_size, training.seed),
        objective=lambda _: partial(predictor_loss, model, loss=loss),
        judge=partial(_validator, judge, rows),
        about={"task": task.name},
        fill=_nothing,
    )


def _validator(
    judge: Judge, rows: range, _folder: RunFolder, model: Predictor, _progress: Progress
) -> Callable[[], Validation]:
    def validate() -> Validation:
        started = time.monotonic()
        return Validation(judge(model, rows).scores(), [], time.monotonic() - started)

    return validate


def _nothing(_folder: Path) -> None:
    """A task is made from the configuration alone."""


def task_hash(task: Task) -> str:
    """Identifies a task by its first examples of each part."""
    digest = hashlib.sha256(task.name.encode())
    for part in (task.splits.train, task.splits.valid, task.splits.test):
        series = task.draw(part[:16], 0)
        for array in (series.inputs, series.lengths, series.targets):
            digest.update(array.tobytes())
    return digest.hexdigest()


def check_task(metadata: Mapping[str, Any], belongs: str, task: Task, folder: RunFolder) -> None:
    """Weights (or `run.json`) name the same task; `belongs` is its hash.

    Raises:
        UserError: they don't.
    """
    if metadata.get("vocabulary") != belongs:
        raise UserError(
            f"{folder.path}: was trained on another task than {task.name} as it is configured now (data.task,"
            " data.length, data.seed, or the files it is read from); put these back as they were"
        )
