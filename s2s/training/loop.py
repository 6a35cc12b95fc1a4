"""The training loop: duties that come round first, then the one place with `backward()`, then the log line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import nn

from s2s.corpus.batch import Batch
from s2s.errors import UserError
from s2s.models.loss import Loss
from s2s.training.checkpoint import Checkpoints, Parts
from s2s.training.hardware import Precision, autocast, give_back_pages
from s2s.training.schedule import Schedule


class Source(Protocol):
    """Where batches come from. A plan depends on the epoch alone, so a position is two numbers."""

    def plan(self, epoch: int) -> Sequence[Sequence[int]]: ...
    def batch(self, rows: Sequence[int]) -> Batch: ...


class Validation(Protocol):
    """What a validation found."""

    @property
    def scores(self) -> Mapping[str, float]: ...


class Log(Protocol):
    """Who is told."""

    def update(self, progress: Progress, *, loss: float, rate: float, norm: float, tokens: int) -> None: ...
    def validation(self, progress: Progress, validation: Any, *, best: bool) -> None: ...
    def saved(self) -> None: ...


@dataclass(frozen=True)
class Settings:
    """When a run ends and what comes round how often."""

    epochs: int | None
    updates: int | None
    minutes: float | None
    clip_norm: float | None
    validate_every: int | None
    checkpoint_every: int | None
    metric: str
    patience: int | None
    precision: Precision


@dataclass
class Progress:
    """Where a run stands: everything besides tensors and generators that going on exactly needs."""

    update: int = 0
    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches done in the epoch under way."""
    seconds: float = 0.0
    tokens: int = 0
    best: float | None = None
    best_loss: float | None = None
    """Loss of the best model: it decides between equal values of the metric."""
    best_update: int = 0
    stale: int = 0
    """Validations without progress."""
    reductions: int = 0
    """Of the rate, by the plateau schedule."""
    since_reduction: int = 0
    validated: int = -1
    """Update of the last validation."""
    saved: int = -1
    """Update of the last checkpoint."""


@dataclass(frozen=True)
class Run:
    """Everything the loop works with."""

    parts: Parts
    device: torch.device
    objective: Callable[[Batch], Loss]
    source: Source
    schedule: Schedule
    checkpoints: Checkpoints
    validate: Callable[[], Validation]
    better: Callable[[float, float | None], bool]
    keep_best: Callable[[Progress, Mapping[str, float]], None]
    identity: Mapping[str, Any]
    """What a resumed run must share with this one: corpus hash, threads, versions."""
    log: Log
    interrupted: Callable[[], bool]


def train(run: Run, settings: Settings, progress: Progress) -> str:
    """Train until an end is reached; returns which one, in words. `progress` is carried forward in place."""
    started = time.monotonic() - progress.seconds
    batches = _stream(run.source, progress.epoch, progress.batch)
    while True:
        progress.seconds = time.monotonic() - started
        end = "interrupted" if run.interrupted() else _end(settings, progress)
        if _validation_due(settings, progress, end):
            _validate(run, settings, progress)
            end = end or _patience_end(settings, progress)
        if _checkpoint_due(settings, progress, end):
            save(run, progress)
        if end:
            return end
        (progress.epoch, progress.batch), batch = next(batches)
        progress.update += 1
        rate = run.schedule.rate(progress.update, progress.reductions)
        loss, norm = _step(run, settings, batch.to(run.device), rate)
        progress.tokens += loss.tokens
        nll = float(loss.nll) / loss.tokens
        if not math.isfinite(nll) or not math.isfinite(norm):
            raise UserError(_diverged(progress, nll, rate))
        run.log.update(progress, loss=nll, rate=rate, norm=norm, tokens=loss.tokens)


def _step(run: Run, settings: Settings, batch: Batch, rate: float) -> tuple[Loss, float]:
    """One update of the weights: the loss it was computed from and the norm of its gradient before clipping."""
    model, optimizer, scaler = run.parts.model, run.parts.optimizer, run.parts.scaler
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with autocast(run.device, settings.precision):
        loss = run.objective(batch)
    scaler.scale(loss.total / loss.tokens).backward()  # type: ignore[no-untyped-call]
    scaler.unscale_(optimizer)
    limit = math.inf if settings.clip_norm is None else settings.clip_norm
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), limit))
    scaler.step(optimizer)
    scaler.update()
    return loss, 0.0 if settings.precision == "float16" else norm


def _stream(source: Source, epoch: int, batch: int) -> Iterator[tuple[tuple[int, int], Batch]]:
    """Batches without end, each with the position that follows it."""
    while True:
        plan = source.plan(epoch)
        if not plan:
            raise UserError("there is no batch to train on: the corpus has no pairs")
        for index in range(batch, len(plan)):
            after = (epoch, index + 1) if index + 1 < len(plan) else (epoch + 1, 0)
            yield after, source.batch(plan[index])
        epoch, batch = epoch + 1, 0


def _end(settings: Settings, progress: Progress) -> str:
    if settings.updates is not None and progress.update >= settings.updates:
        return f"{settings.updates:,} update{'s' * (settings.updates != 1)} done"
    if settings.epochs is not None and progress.epoch >= settings.epochs:
        return f"{settings.epochs:,} epoch{'s' * (settings.epochs != 1)} done"
    if settings.minutes is not None and progress.seconds >= 60 * settings.minutes:
        return f"{settings.minutes:g} minutes over"
    return _patience_end(settings, progress)


def _patience_end(settings: Settings, progress: Progress) -> str:
    if settings.patience is not None and progress.stale >= settings.patience:
        return f"no progress in {settings.metric} for {progress.stale} validations"
    return ""


def _validation_due(settings: Settings, progress: Progress, end: str) -> bool:
    if progress.update == progress.validated or end == "interrupted":
        return False
    if end:
        return True
    if settings.validate_every is not None:
        return progress.update > 0 and progress.update % settings.validate_every == 0
    return progress.update > 0 and progress.batch == 0


def _checkpoint_due(settings: Settings, progress: Progress, end: str) -> bool:
    if progress.update == progress.saved:
        return False
    if end or progress.update == 0:
        return True
    if settings.checkpoint_every is not None:
        return progress.update % settings.checkpoint_every == 0
    return progress.update == progress.validated


def _validate(run: Run, settings: Settings, progress: Progress) -> None:
    """Score the model, keep it if it is the best so far, and count what stalls."""
    run.parts.model.eval()
    validation = run.validate()
    run.parts.model.train()
    give_back_pages()
    progress.validated = progress.update
    value, loss = validation.scores[settings.metric], validation.scores.get("loss")
    better = run.better(value, progress.best)
    best = better or (value == progress.best and _lower(loss, progress.best_loss))
    if best:
        progress.best, progress.best_loss, progress.best_update = value, loss, progress.update
        run.keep_best(progress, validation.scores)
    if better:
        progress.stale, progress.since_reduction = 0, 0
    else:
        progress.stale += 1
        progress.since_reduction += 1
        if run.schedule.kind == "plateau" and progress.since_reduction > run.schedule.patience:
            progress.reductions += 1
            progress.since_reduction = 0
    run.log.validation(progress, validation, best=best)


def _lower(new: float | None, old: float | None) -> bool:
    return new is not None and old is not None and new < old


def save(run: Run, progress: Progress) -> None:
    """Write a checkpoint of this very moment."""
    before, progress.saved = progress.saved, progress.update
    try:
        run.checkpoints.save(progress.update, run.parts, {"progress": asdict(progress), "identity": dict(run.identity)})
    except BaseException:
        progress.saved = before
        raise
    run.log.saved()


def _diverged(progress: Progress, nll: float, rate: float) -> str:
    return (
        f"training diverged: loss {nll:g} with a rate of {rate:g} at update {progress.update}; expected a number."
        f" The checkpoint of update {progress.saved} is intact. Lower training.learning_rate or training.clip_norm, or"
        " raise training.warmup, and start again with --overwrite"
    )
