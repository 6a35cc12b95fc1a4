"""Runs side by side: each an `s2s train` of its own, followed by what it writes into its folder."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from s2s.build.folder import RunFolder
from s2s.errors import UserError
from s2s.sweeps.ran import can_resume
from s2s.training.stop import Asked, stop_on_signals

TICK = 0.2
"""Seconds between two looks at the runs."""


@dataclass(frozen=True)
class Job:
    """A run to be trained.

    Attributes:
        name: of the run: `NAME/` is its folder, `NAME.toml` its recipe and `NAME.log` its console, all in `place`.
        place: the folder of all runs.
        threads: that it may use, unless its configuration says.
        more: overrides, for a run that is new.
    """

    name: str
    place: Path
    threads: int
    more: Sequence[str] = ()

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.place / self.name)

    @property
    def recipe(self) -> Path:
        return self.place / f"{self.name}.toml"

    @property
    def log(self) -> Path:
        return self.place / f"{self.name}.log"

    def words(self) -> list[str]:
        """Of `s2s`: to go on, or to begin."""
        if can_resume(self.folder):
            return ["train", "--resume", str(self.folder.path)]
        again = ["--overwrite"] if self.folder.exists() else []
        return ["train", str(self.recipe), *self.more, "-o", str(self.folder.path), *again]

    def free(self) -> bool:
        """Whether no process trains in the run: one may be left of a program that was killed."""
        try:
            with self.folder.lock():
                return True
        except UserError:
            return False


class Source(Protocol):
    """Where jobs come from, and who is told of them."""

    def next(self) -> Job | None:
        """The next job, or None while there is none (for now, if some run)."""

    def look(self, job: Job, rows: Sequence[dict[str, Any]]) -> bool:
        """Told when a run's `metrics.jsonl` has changed; whether the run is to be stopped."""

    def ended(self, job: Job, code: int) -> None:
        """Told when a run has ended, with the exit code."""

    def tick(self) -> None:
        """Called at each look."""


def supervise(source: Source, limit: int, say: Callable[[str], None]) -> Asked:
    """Train what `source` gives, `limit` at once, until nothing runs and nothing comes.

    Ctrl-C and SIGTERM are handed on to the runs, which save; a second Ctrl-C too. None is left running. Returns which
    signal came first, or nothing.
    """
    running: list[_Running] = []
    told = False
    with stop_on_signals(say) as asked:
        try:
            while True:
                while not asked() and len(running) < limit and (job := source.next()) is not None:
                    running.append(_Running(job))
                if asked() and not told:
                    _send(running, signal.SIGINT if asked() == "interrupted" else signal.SIGTERM)
                    told = True
                if not running:
                    return asked()
                running = [one for one in running if not _followed(one, source, stopping=bool(asked()))]
                source.tick()
                time.sleep(TICK)
        except KeyboardInterrupt:
            _send(running, signal.SIGINT)  # with the first, the second for them too
            return asked()
        finally:
            _end(running)


class _Running:
    """A job under way; it waits while another process still trains in its folder."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self._seen: tuple[int, int] | None = None

    def start(self) -> None:
        words = self.job.words()
        with self.job.log.open("ab") as log:
            log.write(f"$ {shlex.join(['s2s', *words])}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "s2s", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C comes from us alone, or it would count twice
                env={**os.environ, "OMP_NUM_THREADS": str(self.job.threads)},
            )

    def changed_rows(self) -> list[dict[str, Any]] | None:
        """The lines of `metrics.jsonl` if the file has changed. A run that goes back writes it anew."""
        try:
            status = self.job.folder.metrics.stat()
        except OSError:
            return None
        seen = (status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return None
        self._seen = seen
        return self.job.folder.log_lines()

    def send(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def _followed(one: _Running, source: Source, *, stopping: bool) -> bool:
    """Start what waits, tell the source what is new; whether the run is over."""
    if one.process is None:
        if stopping:
            return True
        if one.job.free():
            one.start()
        return False
    code = one.process.poll()  # before the file is read, so that a run that has ended is read to its end
    rows = one.changed_rows()
    if rows is not None and source.look(one.job, rows) and code is None and not one.stopped:
        one.stopped = True
        one.send(signal.SIGTERM)
    if code is not None:
        source.ended(one.job, code)
    return code is not None


def _send(running: Sequence[_Running], number: int) -> None:
    for one in running:
        one.send(number)


def _end(running: Sequence[_Running]) -> None:
    """Wait for those that were stopped; on an error of ours none was yet, and all are."""
    _send(running, signal.SIGTERM)
    for one in running:
        if one.process is not None:
            one.process.wait()
