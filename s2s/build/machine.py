"""What a run takes from the machine, and what of it a resumed run must share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from s2s.config import Config, Training
from s2s.errors import UserError
from s2s.training.hardware import Precision, keep_pages, pick_device, pick_precision, set_threads
from s2s.training.processes import Processes


@dataclass(frozen=True)
class Machine:
    """Where a run computes."""

    device: torch.device
    precision: Precision
    threads: int
    processes: Processes

    def identity(self, config: Config, corpus: str) -> dict[str, Any]:
        """What a resumed run must share; `corpus` is the hash of what is trained and validated on.

        Raises:
            UserError: the processes do not have the same corpus and configuration.
        """
        _refuse_differing(self.processes.gather((corpus, config.model_dump_json(exclude={"data"}))))
        return {
            "corpus": corpus,
            "threads": self.threads,
            "world_size": self.processes.size,
            "torch": torch.__version__,
            "device": self.device.type,
            "precision": self.precision,
        }

    def describe(self, config: Config, model: nn.Module) -> str:
        """The model's size and where it computes, for people."""
        parameters = sum(parameter.numel() for parameter in model.parameters())
        place = f"{self.device.type}, {self.precision}"
        if self.device.type == "cpu":
            place += f", {self.threads} threads" if self.threads > 1 else ", 1 thread"
        return f"{parameters:,} parameters ({config.model.core}); {place}"


def set_up(training: Training, threads: int | None, processes: Processes) -> Machine:
    """Device, precision, threads and allocator as configured (`threads` wins), and every generator at the seed."""
    keep_pages()
    threads = set_threads(threads or training.threads, processes)
    device = pick_device(training.device, processes)
    precision = pick_precision(training.precision, device)
    random.seed(training.seed)
    torch.manual_seed(training.seed)
    return Machine(device, precision, threads, processes)


def _refuse_differing(seen: Sequence[tuple[str, str]]) -> None:
    """`seen`: the hash of the corpus and the configuration, as each process found them."""
    for what, values in zip(("training and validation pairs", "configuration"), zip(*seen, strict=True), strict=True):
        if len(set(values)) > 1:
            others = [str(rank) for rank, value in enumerate(values) if value != values[0]]
            raise UserError(
                f"the {what} of process {', '.join(others)} are not those of process 0. All processes must be started"
                " with the same words, and find the same files"
            )
