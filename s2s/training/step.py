"""One update of the weights: the gradient of its batches (the one place with `backward()`), clipped and applied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from s2s.errors import UserError
from s2s.training.hardware import autocast, eight_bits, give_back_pages
from s2s.training.state import Batch, Progress, Run, Settings


class Step(NamedTuple):
    """What an update found."""

    loss: float
    """Mean negative log-likelihood of its target tokens."""
    norm: float
    """Of the gradient, before clipping."""
    tokens: int

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


def step(run: Run, settings: Settings, progress: Progress, batches: Sequence[Batch], *, rate: float) -> Step:
    """Move the weights once by the gradient of the mean loss over all target tokens of the batches.

    Their moving average follows with the decay min(ema, (1 + u) / (10 + u)) after update u, so that it does not hang on
    to the weights of the beginning.

    The weights stay where they are when loss or gradient is no number. With float16 the scaler sees to gradients that
    overflow: it skips them and lowers its scale.
    """
    model, optimizer, scaler = run.parts.model, run.parts.optimizer, run.parts.scaler
    nll, tokens = _gradient(run, settings, progress, list(batches))
    for group in optimizer.param_groups:
        group["lr"] = rate
    scaler.unscale_(optimizer)
    limit = math.inf if settings.clip_norm is None else settings.clip_norm
    norm = _clip(model, limit)
    found = Step(nll / tokens, 0.0 if settings.precision == "float16" and not math.isfinite(norm) else norm, tokens)
    if found.finite:
        scaler.step(optimizer)
    scaler.update()
    if found.finite and run.parts.ema is not None:
        follow(run.parts.ema, model, decay=min(settings.ema, (1 + progress.update) / (10 + progress.update)))
    return found


def _clip(model: nn.Module, limit: float) -> float:
    """Scale the gradient down to the limit where its norm is beyond; returns the norm before."""
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    total = nn.utils.get_total_norm(gradients)
    norm = float(total)
    if not norm <= limit:  # else every gradient would be multiplied by 1
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, total)
    return norm


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    """average <- decay average + (1 - decay) model, for each weight."""
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, 1.0 - decay)


def _gradient(run: Run, settings: Settings, progress: Progress, batches: list[Batch]) -> tuple[float, int]:
    """Leave d(sum of losses / tokens)/dw in the weights; returns the sum of the log-likelihoods, and the tokens.

    Sums and tokens are those of all processes, of which one may have no batch. They meet before the first backward and
    after the last one, so what happens in between concerns nobody else.

    Where a batch does not fit into memory it is cut in two by rows and the update begins again, since a backward that
    was cut short has left some of its gradient behind.
    """
    tokens = run.processes.total(sum(batch.tokens for batch in batches))
    if not batches:
        run.parts.scaler.scale(torch.zeros((), device=run.device))  # begins its scale, which the first loss does else
    while True:
        run.parts.optimizer.zero_grad(set_to_none=True)
        nll: list[float] = []
        while len(nll) < len(batches) and (part := _backward(run, settings, batches[len(nll)], tokens)) is not None:
            nll.append(part)
        if len(nll) == len(batches):
            return run.processes.merge(run.parts.model.parameters(), sum(nll)), tokens
        batches[len(nll) : len(nll) + 1] = _halves(run, progress, batches[len(nll)])


def _backward(run: Run, settings: Settings, batch: Batch, tokens: int) -> float | None:
    """Add a batch's share to the gradient; returns its negative log-likelihood, or None where it does not fit."""
    try:
        with eight_bits(settings.precision):
            with autocast(run.device, settings.precision):
                loss = run.objective(batch.to(run.device))
            run.parts.scaler.scale(loss.total / tokens).backward()  # type: ignore[no-untyped-call]
        return float(loss.nll)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None  # outside, the error is gone, and with it the frames that hold the tensors


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on whatever device."""
    signs = ("out of memory", "can't allocate memory", "alloc_failed")
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or any(sign in str(error).lower() for sign in signs)


def _halves(run: Run, progress: Progress, batch: Batch) -> list[Batch]:
    """The two halves of a batch that did not fit, each padded to its own longest row.

    Raises:
        UserError: it is a single pair.
    """
    give_back_pages()
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    count = len(batch.rows)
    if count == 1:
        raise UserError(
            f"out of memory at update {progress.update}: a single example of {batch.extent} does not fit on"
            f" {run.device.type}. Take shorter ones (data.max_source and data.max_target, or data.length), a smaller"
            " model or vocabulary, or model.segment"
        )
    progress.splits += 1
    if progress.splits.bit_count() == 1:  # the 1st, 2nd, 4th, 8th ... time: said, but not thousands of times
        run.log.trouble(
            progress,
            "out_of_memory",
            f"out of memory at update {progress.update}: the batch of {count} examples ({batch.extent}) is cut in two"
            f" (cut {progress.splits} of this run). If this comes often, lower training.batch_tokens or batch_size",
        )
    middle = count // 2
    return [run.source.batch(rows, progress.epoch) for rows in (batch.rows[:middle], batch.rows[middle:])]
