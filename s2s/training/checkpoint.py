"""Checkpoints: everything that resuming needs, in folders that are whole or not there.

`checkpoints/step-N/` holds weights, optimiser and generators as safetensors and the rest as JSON; `manifest.json` with
the hash of each file is written last, then the folder gets its name, then the pointer `latest` moves. No pickle.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

from s2s.errors import UserError
from s2s.training.files import disk_errors, flush, sha256, write_atomically, write_json, write_text
from s2s.training.generators import Generators, generators, named, take_back
from s2s.training.processes import ALONE, Processes

NEEDED = {"model.safetensors", "optimizer.safetensors", "generators.safetensors", "state.json"}


@dataclass(frozen=True)
class Parts:
    """What a checkpoint holds besides numbers and text."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: nn.Module | None = None
    """The moving average of the model's weights, as a model of its own."""

    @property
    def judged(self) -> nn.Module:
        """What is validated and kept: the average where there is one."""
        return self.model if self.ema is None else self.ema


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: `RUN/checkpoints`.
        keep: how many are kept.
        processes: of the run; the first writes for all.
    """

    def __init__(self, folder: Path, *, keep: int = 2, processes: Processes = ALONE) -> None:
        self.folder = folder
        self.keep = keep
        self.processes = processes

    def save(self, update: int, parts: Parts, state: dict[str, Any], *, also_keep: int = -1) -> None:
        """Write the state after `update`; on any failure the previous checkpoint stays the latest.

        Of the older ones the last `keep` stay, and the one of the update `also_keep`. All processes call this.

        Raises:
            UserError: the disk refused.
        """
        of_all = self.processes.gather(generators())
        self.processes.alone(lambda: self._save(update, parts, state, of_all))
        if self.processes.rank == 0:
            self._drop_old(update, also_keep)

    def _save(self, update: int, parts: Parts, state: dict[str, Any], of_all: Sequence[Generators]) -> None:
        name = f"step-{update}"
        beside = self.folder / f".{name}.{os.getpid()}.tmp"
        with disk_errors(self.folder / name):
            try:
                self._clear_leftovers()
                beside.mkdir(parents=True)
                _write_parts(beside, parts, state, of_all)
                self._put_in_place(beside, name)
                write_text(self.folder / "latest", name + "\n")
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise

    def _put_in_place(self, beside: Path, name: str) -> None:
        """Give the whole folder its name; one that has it already makes way, and comes back if this fails."""
        place, aside = self.folder / name, self.folder / f".{name}.old.tmp"
        if place.exists():
            os.replace(place, aside)
        try:
            os.replace(beside, place)
        except BaseException:
            if aside.exists():
                os.replace(aside, place)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        flush(self.folder)

    def _clear_leftovers(self) -> None:
        """What a killed process left half-written."""
        for leftover in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _drop_old(self, newest: int, also_keep: int) -> None:
        """All but the last `keep`; a step after the newest is of a course that was given up (it was damaged)."""
        self._clear_leftovers()
        steps = self.steps()
        past = [step for step in steps if step <= newest]
        for step in steps:
            if step not in (*past[-self.keep :], also_keep):
                shutil.rmtree(self.folder / f"step-{step}", ignore_errors=True)

    def latest(self) -> Path:
        """The newest whole checkpoint.

        Raises:
            UserError: there is none, or none whose files have the hashes of its manifest.
        """
        pointer = self.folder / "latest"
        named = [self.folder / pointer.read_text(encoding="utf-8").strip()] if pointer.is_file() else []
        others = sorted(self.folder.glob("step-*"), key=_step, reverse=True)
        problems = []
        for candidate in dict.fromkeys([*named, *others]):
            problem = _damage(candidate)
            if problem is None:
                return candidate
            problems.append(problem)
        reason = "; ".join(problems) or "no checkpoint was written"
        raise UserError(f"{self.folder}: nothing to resume from: {reason}. Start again with --overwrite")

    def steps(self) -> list[int]:
        """The updates of which there is a checkpoint, the oldest first."""
        return sorted(_step(path) for path in self.folder.glob("step-*"))

    def at(self, update: int) -> Path:
        """The checkpoint of an update.

        Raises:
            UserError: there is none, or its files do not have the hashes of its manifest.
        """
        path = self.folder / f"step-{update}"
        if not path.is_dir():
            there = ", ".join(map(str, self.steps())) or "none"
            raise UserError(f"{self.folder}: no checkpoint of update {update}; there are: {there}")
        if (problem := _damage(path)) is not None:
            raise UserError(f"{self.folder}: {problem}; take another checkpoint")
        return path

    def state(self, checkpoint: Path) -> dict[str, Any]:
        """The JSON part of a checkpoint."""
        value: dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        return value

    def restore(self, checkpoint: Path, parts: Parts) -> dict[str, Any]:
        """Bring model, optimiser, scaler and random generators back; returns the JSON part.

        The optimiser keeps the options that it was built with: the configuration may have changed. The generators are
        those of this process; if the checkpoint was written by fewer processes, they stay as they are.

        Raises:
            UserError: the checkpoint is of another model.
        """
        state = self.state(checkpoint)
        weights, average = checkpoint / "model.safetensors", checkpoint / "ema.safetensors"
        _load_model(parts.model, weights)
        if parts.ema is not None:  # one that was switched on since then begins here
            _load_model(parts.ema, average if average.is_file() else weights)
        _load_optimizer(parts.optimizer, load_file(checkpoint / "optimizer.safetensors"))
        if state["scaler"]:
            parts.scaler.load_state_dict(state["scaler"])
        take_back(load_file(checkpoint / "generators.safetensors"), state["generators"], self.processes.rank)
        return state


def _write_parts(folder: Path, parts: Parts, state: dict[str, Any], of_all: Sequence[Generators]) -> None:
    save_model(parts.model, str(folder / "model.safetensors"))
    if parts.ema is not None:
        save_model(parts.ema, str(folder / "ema.safetensors"))
    tensors, groups = _optimizer_state(parts.optimizer)
    save_file(tensors, folder / "optimizer.safetensors")
    random_states, python = named(of_all)
    save_file(random_states, folder / "generators.safetensors")
    whole = {**state, "optimizer": groups, "scaler": parts.scaler.state_dict(), "generators": python}
    write_json(folder / "state.json", whole)
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        flush(folder / name)
    write_json(folder / "manifest.json", {name: sha256(folder / name) for name in names})
    flush(folder)


def _step(path: Path) -> int:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    manifest = checkpoint / "manifest.json"
    if not manifest.is_file():
        return f"{checkpoint.name} has no manifest"
    try:
        hashes = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        hashes = None
    if not isinstance(hashes, dict) or not hashes.keys() >= NEEDED:
        return f"{checkpoint.name} has a damaged manifest"
    for name, digest in hashes.items():
        if not (checkpoint / name).is_file() or sha256(checkpoint / name) != digest:
            return f"{checkpoint.name}/{name} is missing or damaged"
    return None


def _optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], Any]:
    """The optimiser's tensors by `index.name`, and its groups as JSON."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, slots in state["state"].items()
        for name, value in slots.items()
        if isinstance(value, Tensor)
    }
    return tensors, state["param_groups"]


def _load_model(model: nn.Module, path: Path) -> None:
    try:
        load_model(model, path)
    except RuntimeError as error:
        raise UserError(
            f"{path.parent}: not of the model that config.toml describes: {error}. Put config.toml back as it was"
        ) from None


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        slots.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def save_weights(path: Path, model: nn.Module, metadata: dict[str, str]) -> None:
    """The model's tensors (tied ones once) as one safetensors file, whole or not at all."""
    write_atomically(path, lambda beside: save_model(model, str(beside), metadata=metadata))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file that `save_weights` wrote (tied ones by one of their names), and its metadata.

    Raises:
        UserError: the file is missing or truncated.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no weights there; was this run trained to its first validation?") from None
    except SafetensorError as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); it was cut off or changed") from None


def load_weights(path: Path, model: nn.Module) -> dict[str, str]:
    """Read weights into `model`; returns the file's metadata.

    Raises:
        UserError: the file is missing, truncated, or belongs to a model of another shape.
    """
    if not path.is_file():
        raise UserError(f"{path}: no weights there; was this run trained to its first validation?")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        load_model(model, path)
    except SafetensorError as error:
        raise UserError(
            f"{path}: not a whole safetensors file ({error}); it was cut off or changed."
            " Copy it again, or go on from a checkpoint with `s2s train --resume`"
        ) from None
    except RuntimeError as error:
        raise UserError(f"{path}: these weights belong to another model than config.toml describes: {error}") from None
    return metadata
