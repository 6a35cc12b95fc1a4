"""What a run trains, whatever its kind: a model of texts, or a predictor of a sequence task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from s2s.build.folder import RunFolder
from s2s.config import Config
from s2s.models import Loss
from s2s.training.log import Validation
from s2s.training.processes import ALONE, Processes
from s2s.training.state import Progress, Source


@dataclass(frozen=True)
class Before:
    """The run that is gone on with: its folder, and its `run.json`."""

    folder: RunFolder
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Start:
    """From where a run begins.

    Attributes:
        init_from: a run whose weights (and vocabulary) are the start of a new one.
        before: the run that is gone on with.
        processes: that train together.
    """

    init_from: Path | None = None
    before: Before | None = None
    processes: Processes = ALONE

    def threads(self, config: Config) -> int | None:
        """As configured; a run that is gone on with keeps its number otherwise."""
        if self.before is None or config.training.threads is not None:
            return config.training.threads
        return int(self.before.about["identity"]["threads"])


@dataclass(frozen=True)
class Trainee:
    """The parts of a run that depend on its kind.

    Attributes:
        config: as it goes into the folder.
        model: fresh, taken over, or about to be restored; on its device.
        identity: what a resumed run must share.
        belongs: hash of what the weights belong to (vocabularies, or a task); they carry it.
        source: of batches.
        objective: of a run that stands at some progress: the loss of a batch.
        judge: of a run's folder, a model and where the run stands: scores it.
        about: more for `run.json`.
        fill: writes what else the folder holds.
    """

    config: Config
    model: nn.Module
    identity: dict[str, Any]
    belongs: str
    source: Source
    objective: Callable[[Progress], Callable[[Any], Loss]]
    judge: Callable[[RunFolder, Any, Progress], Callable[[], Validation]]
    about: Mapping[str, Any]
    fill: Callable[[Path], None]
