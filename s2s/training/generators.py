"""The random generators of a process: torch's of each device that it may train on, and Python's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Generators = tuple[dict[str, Tensor], Any]
"""States of torch's, by name, and of Python's, as JSON takes it."""


def generators() -> Generators:
    """The states as they are now."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    return tensors, random.getstate()


def named(of_all: Sequence[Generators]) -> Generators:
    """The states of all processes as one, each named by its process."""
    numbered = [(_prefix(rank), *states) for rank, states in enumerate(of_all)]
    tensors = {f"{prefix}{name}": value for prefix, states, _ in numbered for name, value in states.items()}
    return tensors, {f"{prefix}python": value for prefix, _, value in numbered}


def take_back(tensors: dict[str, Tensor], python: dict[str, Any], rank: int) -> None:
    """Set the generators to what `named` has of process `rank`; where it has none, they stay as they are."""
    prefix = _prefix(rank)
    if f"{prefix}cpu" not in tensors:
        return
    torch.set_rng_state(tensors[f"{prefix}cpu"])
    version, internal, gauss = python[f"{prefix}python"]
    random.setstate((version, tuple(internal), gauss))
    cuda = tensors.get(f"{prefix}cuda", tensors.get("cuda.0"))  # as it was called before there were several processes
    if torch.cuda.is_available() and cuda is not None:
        torch.cuda.set_rng_state(cuda)
    if torch.backends.mps.is_available() and f"{prefix}mps" in tensors:
        torch.mps.set_rng_state(tensors[f"{prefix}mps"])


def _prefix(rank: int) -> str:
    """The first process has none: its names are those of a single one."""
    return f"{rank}." if rank else ""
