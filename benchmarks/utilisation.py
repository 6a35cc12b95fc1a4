"""How busy a GPU is while something runs, by the word of `nvidia-smi`."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from threading import Event, Thread

import torch

QUERY = ("nvidia-smi", "--query-gpu=uuid,utilization.gpu", "--format=csv,noheader,nounits")
EVERY = 0.5
"""Seconds between two questions."""


def identity(device: str) -> str | None:
    """What `nvidia-smi` calls torch's current GPU, or the end of it; None on a CPU."""
    if device != "cuda":
        return None
    return str(getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", "")) or None


def utilisation(run: Callable[[], object], gpu: str | None, seconds: float) -> float | None:
    """Mean percent of the time in which the GPU computed, `run` being repeated so long; None where nobody says."""
    if gpu is None or not seconds or ask(gpu) is None:
        return None
    samples: list[float] = []
    done = Event()
    watcher = Thread(target=_watch, args=(gpu, samples, done))
    watcher.start()
    try:
        _repeat(run, seconds)
    finally:
        done.set()
        watcher.join()
    return statistics.mean(samples) if samples else None


def _repeat(run: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def _watch(gpu: str, samples: list[float], done: Event) -> None:
    """Ask until it is done. An answer is about up to a second before it, so the first ones are not waited for."""
    done.wait(2 * EVERY)
    while not done.wait(EVERY):
        found = ask(gpu)
        if found is not None and not done.is_set():
            samples.append(found)


def ask(gpu: str) -> float | None:
    """Percent of the time just past in which the GPU computed; None where nobody says."""
    try:
        told = subprocess.run(QUERY, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    for line in told.splitlines():
        name, _, percent = (part.strip() for part in line.partition(","))
        if name.endswith(gpu) and percent.isdigit():
            return float(percent)
    return None
