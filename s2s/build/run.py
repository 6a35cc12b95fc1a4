"""Start runs and go on with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from s2s import metrics
from s2s.build.best import Keeper
from s2s.build.corpus import Corpus, load_corpus
from s2s.build.folder import RunFolder
from s2s.build.load import check_vocabulary, make_translator
from s2s.build.prepare import Prepared, prepare
from s2s.build.say import say
from s2s.build.text import load_tokenizers
from s2s.build.training import (
    Batches,
    Validator,
    batch_limits,
    build_objective,
    build_optimizer,
    build_schedule,
    build_settings,
    total_updates,
)
from s2s.config import Config, Data
from s2s.errors import UserError
from s2s.models import Seq2Seq
from s2s.training.checkpoint import Checkpoints, Parts, load_weights
from s2s.training.log import RunLog
from s2s.training.loop import train
from s2s.training.state import Progress, Run
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


def start(config: Config, corpus: Corpus, wish: Wish, console: Console) -> str:
    """Train a new run; returns why it ended.

    Everything is read, checked and built first; the folder is touched only then.

    Raises:
        UserError: anything of the user's to mend.
    """
    folder = RunFolder(wish.folder)
    folder.refuse_if_taken(overwrite=wish.overwrite)
    _keep_data_safe(folder, config.data)
    prepared = prepare(config, corpus, console, init_from=wish.init_from)
    about = {
        "name": config.name or wish.folder.name,
        "languages": [corpus.source_lang, corpus.target_lang],
        "vocabulary": prepared.tokenizers.hash,
        "identity": prepared.identity,
    }

    def fill(new: RunFolder) -> None:
        if wish.stdin is not None:
            new.stdin.write_bytes(wish.stdin)
        prepared.tokenizers.save(new.path)

    folder.refuse_if_taken(overwrite=wish.overwrite)
    with folder.lock():  # of a run that is replaced
        folder.create(prepared.config, about, fill, header=wish.header, reasons=wish.reasons)
    with folder.lock():
        return _run(folder, prepared, Progress(), console)


def _keep_data_safe(folder: RunFolder, data: Data) -> None:
    """Overwriting must not remove the very files that are trained on."""
    place = folder.path.resolve()
    inside = [path for path in (*data.train, *data.valid, *data.test) if place in Path(path).resolve().parents]
    if inside and folder.exists():
        raise UserError(f"{inside[0]}: lies in {folder.path}, which would be replaced; choose another folder with -o")


def resume(path: Path, overrides: Mapping[str, Any], console: Console) -> str:
    """Go on with a run from its latest whole checkpoint; returns why it ended.

    Raises:
        UserError: the folder is no run, nothing to resume from, or the corpus changed.
    """
    folder = RunFolder(path)
    _refuse_new_course(path, overrides)
    config, about = folder.read(overrides)
    with folder.lock():
        return _resume(folder, config, about, overrides, console)


def _resume(
    folder: RunFolder, config: Config, about: Mapping[str, Any], overrides: Mapping[str, Any], console: Console
) -> str:
    checkpoints = Checkpoints(folder.checkpoints, keep=config.training.keep)
    checkpoint = checkpoints.latest()
    threads = about["identity"]["threads"] if config.training.threads is None else config.training.threads
    corpus = load_corpus(config.data, stdin=folder.stdin)
    tokenizers = load_tokenizers(folder.path, config.text)
    check_vocabulary(about, tokenizers, folder)
    prepared = prepare(config, corpus, console, tokenizers=tokenizers, threads=threads)
    _compare(about["identity"], prepared.identity, console)
    progress = Progress(**checkpoints.state(checkpoint)["progress"])
    if overrides:
        folder.amend(overrides["training"])
    say(console, f"Going on with {folder.path} after update {progress.update:,} ({checkpoint.name}).")
    return _run(folder, prepared, progress, console, checkpoint)


def _refuse_new_course(path: Path, overrides: Mapping[str, Any]) -> None:
    """What a resumed run can't change: everything but `[training]`, and there what its state was made by."""
    training = overrides.get("training", {})
    fixed = [*(set(overrides) - {"training"}), *(f"training.{key}" for key in ("optimizer", "seed") if key in training)]
    if fixed:
        raise UserError(
            f"--resume {path}: got {', '.join(sorted(fixed))}, expected keys of [training] (but not optimizer and seed)"
            f" only; to change these begin a new run with the weights of this one (`s2s train FILE --init-from {path}`)"
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
    folder: RunFolder, prepared: Prepared, progress: Progress, console: Console, checkpoint: Path | None = None
) -> str:
    """Train from `progress` to an end."""
    config, model = prepared.config, prepared.model
    training = config.training
    device = torch.device(prepared.identity["device"])
    precision = prepared.identity["precision"]
    size, tokens = batch_limits(training)
    source = Batches(prepared.examples, size, tokens, training.seed, config.model.reverse_source, training.pool)
    total = total_updates(training, source)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    average = deepcopy(model).requires_grad_(False) if training.ema else None
    parts = Parts(model, build_optimizer(training, model), scaler, average)
    judged = model if average is None else average
    keep = Keeper(folder, judged, prepared.tokenizers.hash, training.metric, training.keep_best)
    checkpoints = Checkpoints(folder.checkpoints, keep=training.keep)
    if checkpoint is not None:
        damaged = _weights_damage(folder, model, progress)
        checkpoints.restore(checkpoint, parts)
        if damaged:
            say(console, f"warning: {damaged}. Made again from {checkpoint.name}; the next validation decides anew")
            keep.write(folder.weights, progress, {})
            progress.best = None
    translator = make_translator(folder, config, judged, prepared.tokenizers, device)
    validator = Validator(config, translator, prepared.corpus.valid, prepared.valid)
    model.train()
    log = RunLog(folder.path, console, total=total, start=progress, tensorboard=training.tensorboard)
    with log, stop_on_signals(log.say) as interrupted:
        run = Run(
            parts=parts,
            device=device,
            objective=build_objective(config, model, progress),
            source=source,
            schedule=build_schedule(training, total),
            checkpoints=checkpoints,
            validate=partial(validator, precision),
            better=partial(metrics.better, training.metric),
            keep=keep,
            identity=prepared.identity,
            log=log,
            interrupted=interrupted,
        )
        try:
            end = train(run, build_settings(training, precision), progress)
        except KeyboardInterrupt:  # the second Ctrl-C
            return "stopped"
        if end in ("interrupted", "terminated") and not folder.weights.exists():
            keep.write(folder.weights, progress, {})
    return end


def _weights_damage(folder: RunFolder, model: Seq2Seq, progress: Progress) -> str:
    """Why the best weights so far can't be read, or nothing. (Reads them into `model`, which is restored next.)"""
    if progress.best is None:
        return ""
    try:
        load_weights(folder.weights, model)
    except UserError as error:
        return str(error).partition(";")[0]
    return ""


__all__ = ["Wish", "resume", "start"]
