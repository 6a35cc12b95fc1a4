"""Start runs and go on with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import torch
from rich.console import Console
from torch import nn

from s2s import metrics
from s2s.build.best import Keeper
from s2s.build.corpus import Corpus
from s2s.build.dialogues import DialogueCorpus, holds_dialogues
from s2s.build.folder import RunFolder
from s2s.build.predicting import predictor_trainee
from s2s.build.say import say
from s2s.build.speaking import dialogue_trainee
from s2s.build.texts import text_trainee
from s2s.build.trainee import Before, Start, Trainee
from s2s.build.training import build_optimizer, build_schedule, build_settings, total_updates
from s2s.config import Config, Data
from s2s.errors import UserError
from s2s.training.checkpoint import Checkpoints, Parts, load_weights
from s2s.training.log import Quiet, RunLog
from s2s.training.loop import train
from s2s.training.processes import ALONE, Processes
from s2s.training.state import Log, Progress, Run
from s2s.training.stop import stop_on_signals


@dataclass(frozen=True)
class Wish:
    """What the user asked for besides the configuration.

    Attributes:
        folder: where the run goes.
        overwrite: replace a run that is there.
        init_from: a run whose weights and vocabulary are the start.
        stdin: what was read from standard input, if a path is `-`.
        header, reasons: comments for `config.toml`.
    """

    folder: Path
    overwrite: bool = False
    init_from: Path | None = None
    stdin: bytes | None = None
    header: Iterable[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def start(
    config: Config,
    corpus: Corpus | DialogueCorpus | None,
    wish: Wish,
    console: Console,
    *,
    processes: Processes = ALONE,
) -> str:
    """Train a new run; returns why it ended. All processes call this, and the first writes.

    A sequence task has no corpus.

    Everything is read, checked and built first; the folder is touched only then.

    Raises:
        UserError: anything of the user's to mend.
    """
    folder = RunFolder(wish.folder)
    folder.refuse_if_taken(overwrite=wish.overwrite)
    _keep_data_safe(folder, config.data)
    trainee = _make(config, corpus, Start(wish.init_from, processes=processes), console)
    about = {
        "name": config.name or wish.folder.name,
        **trainee.about,
        "vocabulary": trainee.belongs,
        "identity": trainee.identity,
    }

    def fill(new: RunFolder) -> None:
        if wish.stdin is not None:
            new.stdin.write_bytes(wish.stdin)
        trainee.fill(new.path)

    def create() -> None:
        folder.refuse_if_taken(overwrite=wish.overwrite)
        with folder.lock():  # of a run that is replaced
            folder.create(trainee.config, about, fill, header=wish.header, reasons=wish.reasons)

    processes.alone(create)
    with _lock(folder, processes):
        return _run(folder, trainee, Progress(), console, processes)


def _make(config: Config, corpus: Corpus | DialogueCorpus | None, begin: Start, console: Console) -> Trainee:
    match config.model.kind:
        case "predictor":
            return predictor_trainee(config, begin, console)
        case "seq2seq" | "hred" | "vhred" if holds_dialogues(config):
            assert not isinstance(corpus, Corpus)
            return dialogue_trainee(config, corpus, begin, console)
        case "seq2seq" | "hred" | "vhred":
            assert not isinstance(corpus, DialogueCorpus)
            return text_trainee(config, corpus, begin, console)
        case _:
            assert_never(config.model.kind)


def _keep_data_safe(folder: RunFolder, data: Data) -> None:
    """Overwriting must not remove the very files that are trained on."""
    place = folder.path.resolve()
    mixed = [path for one in data.mix for path in one.train]
    inside = [path for path in (*data.train, *mixed, *data.valid, *data.test) if place in Path(path).resolve().parents]
    if inside and folder.exists():
        raise UserError(f"{inside[0]}: lies in {folder.path}, which would be replaced; choose another folder with -o")


@contextmanager
def _lock(folder: RunFolder, processes: Processes) -> Iterator[None]:
    """The lock of a run, held by the first process for all."""
    with ExitStack() as stack:
        processes.alone(lambda: stack.enter_context(folder.lock()))
        yield


def resume(path: Path, overrides: Mapping[str, Any], console: Console, *, processes: Processes = ALONE) -> str:
    """Go on with a run from its latest whole checkpoint; returns why it ended. All processes call this.

    Raises:
        UserError: the folder is no run, nothing to resume from, or the corpus changed.
    """
    folder = RunFolder(path)
    _refuse_new_course(path, overrides)
    config, about = folder.read(overrides)
    with _lock(folder, processes):
        return _resume(folder, config, about, overrides, console, processes)


def _resume(
    folder: RunFolder,
    config: Config,
    about: Mapping[str, Any],
    overrides: Mapping[str, Any],
    console: Console,
    processes: Processes,
) -> str:
    checkpoints = Checkpoints(folder.checkpoints, keep=config.training.keep)
    checkpoint = checkpoints.latest()
    trainee = _make(config, None, Start(before=Before(folder, about), processes=processes), console)
    _compare(about["identity"], trainee.identity, console)
    progress = Progress(**checkpoints.state(checkpoint)["progress"])
    _forget_other_metric(folder.read()[0].training.metric, config.training.metric, progress, console)
    if overrides:
        processes.alone(lambda: folder.amend(overrides["training"]))
    say(console, f"Going on with {folder.path} after update {progress.update:,} ({checkpoint.name}).")
    return _run(folder, trainee, progress, console, processes, checkpoint)


def _forget_other_metric(before: str, now: str, progress: Progress, console: Console) -> None:
    """A best value of one metric says nothing about another."""
    if before != now:
        progress.best, progress.best_loss = None, None
        progress.stale, progress.since_reduction, progress.at_goal = 0, 0, 0
        say(
            console, f"The best model was chosen by {before}; from here on {now} decides, and the next one is the best."
        )


def _refuse_new_course(path: Path, overrides: Mapping[str, Any]) -> None:
    """What a resumed run can't change: everything but `[training]`, and there what its state was made by."""
    training = overrides.get("training", {})
    made_by = ("optimizer", "seed", "loss")
    fixed = [*(set(overrides) - {"training"}), *(f"training.{key}" for key in made_by if key in training)]
    if fixed:
        raise UserError(
            f"--resume {path}: got {', '.join(sorted(fixed))}, expected keys of [training] (but not optimizer, seed"
            " and loss) only; to change these begin a new run with the weights of this one"
            f" (`s2s train FILE --init-from {path}`)"
        )


def _compare(before: Mapping[str, Any], now: Mapping[str, Any], console: Console) -> None:
    """What differs between the machine (or files) of the run so far and of now."""
    if before["corpus"] != now["corpus"]:
        raise UserError(
            "the training or validation data is not what this run began with (its hash differs); put the old files"
            " back, or start a new run with `s2s train FILE --init-from RUN`"
        )
    for key in ("threads", "world_size", "torch", "device", "precision"):
        if before[key] != now[key]:
            say(console, f"warning: {key} was {before[key]} and is {now[key]}: the run goes on, but not bit for bit")


def _run(
    folder: RunFolder,
    trainee: Trainee,
    progress: Progress,
    console: Console,
    processes: Processes,
    checkpoint: Path | None = None,
) -> str:
    """Train from `progress` to an end."""
    model, training = trainee.model, trainee.config.training
    device = torch.device(trainee.identity["device"])
    processes.share(model.parameters())
    processes.own_generators(training.seed)
    precision = trainee.identity["precision"]
    total = total_updates(training, trainee.source)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    average = deepcopy(model).requires_grad_(False) if training.ema else None
    parts = Parts(model, build_optimizer(training, model), scaler, average)
    judged = model if average is None else average
    keep = Keeper(folder, judged, trainee.belongs, training.metric, training.keep_best)
    checkpoints = Checkpoints(folder.checkpoints, keep=training.keep, processes=processes)
    if checkpoint is not None:
        _restore(checkpoint, checkpoints, parts, keep, progress, console)
    model.train()
    with ExitStack() as stack:
        log: Log = Quiet(processes.rank)
        if processes.rank == 0:
            log = stack.enter_context(
                RunLog(folder.path, console, total=total, start=progress, tensorboard=training.tensorboard)
            )
        interrupted = stack.enter_context(stop_on_signals(partial(say, console)))
        run = Run(
            parts=parts,
            device=device,
            objective=trainee.objective(progress),
            source=trainee.source,
            schedule=build_schedule(training, total),
            checkpoints=checkpoints,
            validate=trainee.judge(folder, judged, progress),
            better=partial(metrics.better, training.metric),
            keep=keep,
            identity=trainee.identity,
            log=log,
            interrupted=interrupted,
            processes=processes,
        )
        try:
            end = train(run, build_settings(training, precision), progress)
        except KeyboardInterrupt:  # the second Ctrl-C
            return "stopped"
        if end in ("interrupted", "terminated") and processes.rank == 0 and not folder.weights.exists():
            keep.write(folder.weights, progress, {})
    return end


def _restore(
    checkpoint: Path, checkpoints: Checkpoints, parts: Parts, keep: Keeper, progress: Progress, console: Console
) -> None:
    """Everything as it was, and a best model that can be read."""
    alone = checkpoints.processes.alone
    damage = alone(lambda: _weights_damage(keep.folder, parts.model, progress))
    checkpoints.restore(checkpoint, parts)
    if damage:
        say(console, f"warning: {damage}. Made again from {checkpoint.name}; the next validation decides anew")
        alone(lambda: keep.write(keep.folder.weights, progress, {}))
        progress.best = None


def _weights_damage(folder: RunFolder, model: nn.Module, progress: Progress) -> str:
    """Why the best weights so far can't be read, or nothing. (Reads them into `model`, which is restored next.)"""
    if progress.best is None:
        return ""
    try:
        load_weights(folder.weights, model)
    except UserError as error:
        return str(error).partition(";")[0]
    return ""


__all__ = ["Wish", "resume", "start"]
