"""Programs under equal conditions: one thread, one core, an allocator that keeps its pages; their time and memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import torch

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
}
"""For all alike. With glibc's defaults the peers lose up to 40 % of their speed to page faults."""


def pin(core: int | None) -> None:
    """Keep this process and all that it starts on one core, with one thread; None: the first core it may use."""
    torch.set_num_threads(1)
    if not hasattr(os, "sched_setaffinity"):
        print("warning: this system can't pin a process to a core", file=sys.stderr)
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0)) if core is None else core})


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


@dataclass(frozen=True)
class Ran:
    """Seconds of a program that ended well, and the most bytes that it held; None where the system does not say."""

    seconds: float
    peak: int | None


def run(command: Sequence[str], log: Path, *, stdin: Path | None = None) -> Ran:
    """Run a program; what it prints goes to `log`.

    Raises:
        SystemExit: it failed; with the end of what it printed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    peaks: list[int] = []
    with log.open("wb") as file, (stdin or Path(os.devnull)).open("rb") as given:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=given, stdout=file, stderr=subprocess.STDOUT, env=environment())
        watcher = Thread(target=_watch, args=(process.pid, peaks))
        try:
            watcher.start()
            process.wait()
        finally:
            process.kill()
        seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}{_end_of(log)}")
    return Ran(seconds, peaks[-1] if peaks else None)


def _watch(pid: int, peaks: list[int]) -> None:
    """Note a process' peak again and again until it has ended."""
    while (peak := high_water(pid)) is not None:
        peaks.append(peak)
        time.sleep(0.1)


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"; the end of {log}:", *lines[-15:]])


def high_water(pid: int) -> int | None:
    """The most bytes that a process has held so far (VmHWM); None where it has ended or the system does not say."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


class Worker:
    """A program that has loaded a model and answers (`peers.answering`), so that several can take turns.

    Attributes:
        facts: seconds of imports and of loading the model, and its number of parameters.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command = command
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, env=environment()
            )
        self._log = log
        self.facts = self._read()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; it has nothing to save."""
        with self._process:
            self._process.kill()

    def ask(
        self, lines: Sequence[str], *, beam: int, batch: int, singly: bool = False, words: Sequence[str] = ()
    ) -> tuple[list[str], list[float]]:
        """Answers, and the seconds of each call: one call for all lines, or one for each.

        `words` are keys of `[search]`, which only this toolkit reads.
        """
        assert self._process.stdin is not None
        question = {"lines": list(lines), "beam": beam, "batch": batch, "singly": singly, "words": list(words)}
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        found = self._read()
        return found["answers"], found["seconds"]

    @property
    def peak(self) -> int | None:
        return high_water(self._process.pid)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise SystemExit(f"{' '.join(self.command)}: ended{_end_of(self._log)}")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def workers(commands: dict[str, list[str]], logs: Path) -> Iterator[dict[str, Worker]]:
    """One for each command, all of them loaded."""
    started: dict[str, Worker] = {}
    try:
        for name, command in commands.items():
            started[name] = Worker(command, logs / f"{name}.answers.log")
        yield started
    finally:
        for worker in started.values():
            worker.close()
