"""The training loop: duties that come round first, then the step (with the one `backward()`), then the log line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, fields

from s2s.errors import UserError
from s2s.training.hardware import give_back_pages, nothing_to_collect
from s2s.training.state import Batch, Progress, Run, Settings
from s2s.training.step import Step, step


def train(run: Run, settings: Settings, progress: Progress) -> str:
    """Train until an end is reached; returns which one, in words. `progress` is carried forward in place."""
    with nothing_to_collect():
        return _until_an_end(run, settings, progress)


def _until_an_end(run: Run, settings: Settings, progress: Progress) -> str:
    started = time.monotonic() - progress.seconds
    updates = _stream(run, progress, settings.accumulate)
    while True:
        progress.seconds, asked = run.processes.agree(time.monotonic() - started, run.interrupted())
        end = asked or _end(settings, progress)
        if not asked and _validation_due(settings, progress, end):
            _validate(run, settings, progress)
            end = end or _judged_end(settings, progress)
        regular = not asked and _checkpoint_due(
            settings, progress
        )  # one that a run goes back to comes after validation
        if regular or (end and progress.update != progress.saved):
            save(run, progress, regular=regular)
        if end:
            return end
        after, batches = next(updates)
        progress.update += 1
        rate = run.schedule.rate(progress.update, progress.reductions)
        rate *= settings.divergence_factor**progress.divergences
        found = step(run, settings, progress, batches, rate=rate)
        if not found.finite:
            _go_back(run, settings, progress, found, rate)
            updates = _stream(run, progress, settings.accumulate)
            continue
        progress.epoch, progress.batch = after
        progress.tokens += found.tokens
        run.log.update(progress, loss=found.loss, rate=rate, norm=found.norm, tokens=found.tokens)


def _stream(run: Run, start: Progress, accumulate: int) -> Iterator[tuple[tuple[int, int], list[Batch]]]:
    """The batches of one update after another without end, each with the position that follows them.

    An epoch ends with an update, so its last one may have fewer batches. Each process makes its part of a batch; of one
    that has fewer rows than there are processes, some make none.
    """
    epoch, batch = start.epoch, start.batch
    while True:
        plan = run.source.plan(epoch)
        if not plan:
            raise UserError("there is no batch to train on: the corpus has no pairs")
        for first in range(batch, len(plan), accumulate):
            last = min(first + accumulate, len(plan))
            after = (epoch, last) if last < len(plan) else (epoch + 1, 0)
            parts = map(run.processes.part, plan[first:last])
            yield after, [run.source.batch(rows, epoch) for rows in parts if len(rows)]
        epoch, batch = epoch + 1, 0


def _end(settings: Settings, progress: Progress) -> str:
    if settings.updates is not None and progress.update >= settings.updates:
        return f"{settings.updates:,} update{'s' * (settings.updates != 1)} done"
    if settings.epochs is not None and progress.epoch >= settings.epochs:
        return f"{settings.epochs:,} epoch{'s' * (settings.epochs != 1)} done"
    if settings.minutes is not None and progress.seconds >= 60 * settings.minutes:
        return f"{settings.minutes:g} minutes over"
    return _judged_end(settings, progress)


def _judged_end(settings: Settings, progress: Progress) -> str:
    """Ends that validations decide."""
    if settings.goal is not None and progress.at_goal >= settings.goal_validations:
        times = "1 validation" if progress.at_goal == 1 else f"{progress.at_goal} validations in a row"
        return f"{settings.metric} was better than {settings.goal:g} in {times}"
    if settings.patience is not None and progress.stale >= settings.patience:
        return f"no progress in {settings.metric} for {progress.stale} validations"
    return ""


def _validation_due(settings: Settings, progress: Progress, end: str) -> bool:
    if progress.update == progress.validated:
        return False
    if end:
        return True
    if settings.validate_every is not None:
        return progress.update > 0 and progress.update % settings.validate_every == 0
    return progress.update > 0 and progress.batch == 0


def _checkpoint_due(settings: Settings, progress: Progress) -> bool:
    """Whether one comes round; at an end there is one in any case."""
    if progress.update == progress.regular:
        return False
    if settings.checkpoint_every is not None and progress.update > 0:
        return progress.update % settings.checkpoint_every == 0
    return progress.update in (0, progress.validated)


def _validate(run: Run, settings: Settings, progress: Progress) -> None:
    """Score the model, let it be kept if it is good, and count what stalls."""
    run.parts.judged.eval()
    validation = run.processes.alone(run.validate)
    run.parts.model.train()
    give_back_pages()
    progress.validated = progress.update
    value, loss = validation.scores[settings.metric], validation.scores.get("loss")
    better = run.better(value, progress.best)
    progress.at_goal = progress.at_goal + 1 if settings.goal is not None and run.better(value, settings.goal) else 0
    best = better or (value == progress.best and _lower(loss, progress.best_loss))
    if best:
        progress.best, progress.best_loss, progress.best_update = value, loss, progress.update
    run.processes.alone(lambda: run.keep(progress, validation.scores, best=best))
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


def save(run: Run, progress: Progress, *, regular: bool) -> None:
    """Write a checkpoint of this very moment; to the last regular one a run that diverges goes back."""
    before = progress.saved, progress.regular
    progress.saved = progress.update
    if regular:
        progress.regular = progress.update
    state = {"progress": asdict(progress), "identity": dict(run.identity)}
    try:
        run.checkpoints.save(progress.update, run.parts, state, also_keep=progress.regular)
    except BaseException:
        progress.saved, progress.regular = before
        raise
    run.log.saved()


def _go_back(run: Run, settings: Settings, progress: Progress, found: Step, rate: float) -> None:
    """To the last regular checkpoint, with a lower rate from there on.

    Resuming stays exact: a run that was stopped in between diverges again at the same place, and goes back to the same.

    Raises:
        UserError: it has gone back too often.
    """
    if progress.divergences >= settings.divergence_retries:
        raise UserError(_diverged(progress, found, rate))
    update, kept = progress.update, {name: getattr(progress, name) for name in _LASTING}
    checkpoint = run.checkpoints.at(progress.saved if progress.regular < 0 else progress.regular)
    restored = Progress(**run.checkpoints.restore(checkpoint, run.parts)["progress"])
    for field in fields(Progress):
        setattr(progress, field.name, kept.get(field.name, getattr(restored, field.name)))
    progress.divergences += 1
    run.log.went_back(progress)
    run.log.trouble(
        progress,
        "diverged",
        f"update {update} diverged (loss {found.loss:g}, norm of the gradient {found.norm:g}, rate {rate:g}): back to"
        f" {checkpoint.name} with {settings.divergence_factor:g} times the rate"
        f" ({progress.divergences} of at most {settings.divergence_retries} times)",
    )


_LASTING = ("divergences", "splits", "best", "best_loss", "best_update")
"""What a run that goes back does not take back: its counts, and what it knows of the best model, which stays."""


def _diverged(progress: Progress, found: Step, rate: float) -> str:
    again = f", after going back {progress.divergences} times" if progress.divergences else ""
    return (
        f"training diverged: loss {found.loss:g}, norm of the gradient {found.norm:g} with a rate of {rate:g} at update"
        f" {progress.update}{again}; expected numbers. The checkpoint of update {progress.saved} is intact. Lower"
        " training.learning_rate or training.clip_norm, or raise training.warmup, and start again with --overwrite"
    )
