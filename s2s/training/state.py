"""What the loop works with: where a run stands, when it ends, what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from s2s.models.loss import Loss
from s2s.training.checkpoint import Checkpoints, Parts
from s2s.training.hardware import Precision
from s2s.training.processes import ALONE, Processes
from s2s.training.schedule import Schedule
from s2s.training.stop import Asked


class Batch(Protocol):
    """Examples of whatever kind that the objective takes."""

    @property
    def rows(self) -> Sequence[int]:
        """Their numbers."""

    @property
    def tokens(self) -> int:
        """How many answers the loss sums over."""

    @property
    def extent(self) -> str:
        """How long they are, in words, for messages."""

    def to(self, device: torch.device | str) -> Any:
        """The same on a device."""


class Source(Protocol):
    """Where batches come from. A plan depends on the epoch alone, so a position is two numbers."""

    def plan(self, epoch: int) -> Sequence[Sequence[int]]: ...
    def batch(self, rows: Sequence[int], epoch: int) -> Batch: ...


class Validation(Protocol):
    """What a validation found."""

    @property
    def scores(self) -> Mapping[str, float]: ...


class Keep(Protocol):
    """Who keeps models that are worth it, after each validation."""

    def __call__(self, progress: Progress, scores: Mapping[str, float], *, best: bool) -> None: ...


class Log(Protocol):
    """Who is told."""

    def update(self, progress: Progress, *, loss: float, rate: float, norm: float, tokens: int) -> None: ...
    def validation(self, progress: Progress, validation: Any, *, best: bool) -> None: ...
    def trouble(self, progress: Progress, event: str, text: str) -> None: ...
    def went_back(self, progress: Progress) -> None: ...
    def saved(self) -> None: ...


@dataclass(frozen=True)
class Settings:
    """When a run ends, what comes round how often, and how the weights are moved."""

    epochs: int | None
    updates: int | None
    minutes: float | None
    accumulate: int
    """Batches an update."""
    clip_norm: float | None
    ema: float
    """Decay of the moving average of the weights, where `Parts` has one."""
    validate_every: int | None
    checkpoint_every: int | None
    metric: str
    patience: int | None
    goal: float | None
    goal_validations: int
    """So many in a row that are better than the goal end the run."""
    precision: Precision
    divergence_factor: float
    """Of the rate, each time that a loss which is no number sent the run back."""
    divergence_retries: int


@dataclass
class Progress:
    """Where a run stands: everything besides tensors and generators that going on exactly needs.

    Every field has a default, so that checkpoints of before it was added load.
    """

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
    at_goal: int = 0
    """Validations in a row that were better than the goal."""
    reductions: int = 0
    """Of the rate, by the plateau schedule."""
    since_reduction: int = 0
    validated: int = -1
    """Update of the last validation."""
    saved: int = -1
    """Update of the last checkpoint."""
    regular: int = -1
    """Update of the last checkpoint that came round, rather than by an interruption."""
    divergences: int = 0
    """Times that the run went back to a checkpoint because of a loss or gradient that was no number."""
    splits: int = 0
    """Batches that were cut in two because they did not fit into memory."""


@dataclass(frozen=True)
class Run:
    """The parts of a run."""

    parts: Parts
    device: torch.device
    objective: Callable[[Batch], Loss]
    source: Source
    schedule: Schedule
    checkpoints: Checkpoints
    validate: Callable[[], Validation]
    better: Callable[[float, float | None], bool]
    keep: Keep
    identity: Mapping[str, Any]
    """What a resumed run must share with this one: corpus hash, threads, versions."""
    log: Log
    interrupted: Callable[[], Asked]
    """Whether the end was asked for: with Ctrl-C, or with SIGTERM."""
    processes: Processes = ALONE
    """All call the loop with the same; the first alone validates, and keeps, logs and saves what is said here."""
