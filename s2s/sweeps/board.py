"""How many runs go: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from s2s.build.say import say

SECONDS_BETWEEN_LINES = 60.0
"""How often plain lines say how far the runs are."""


class Board:
    """Shows runs as they go.

    Args:
        console: where.
        metric: the score that is shown.
        total: runs in all.
        done: of them before this start.
    """

    def __init__(self, console: Console, metric: str, total: int, done: int) -> None:
        self.console, self.metric, self.total, self.done = console, metric, total, done
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._bars.add_task("all runs", total=total, completed=done, text=self._counted())
        self._running: dict[str, tuple[TaskID, str]] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Board:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, name: str, updates: int | None, words: str) -> None:
        """A run begins; `updates` is how many it has, where that is known."""
        task = self._bars.add_task(name, total=updates, text="")
        self._running[name] = (task, "no update yet")
        say(self.console, f"{name}: {words}")

    def moved(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """What the run has written so far."""
        task, _ = self._running[name]
        step = rows[-1]["step"] if rows else 0
        values = [row[self.metric] for row in rows if row["event"] == "valid" and self.metric in row]
        text = f"update {step:,}" + (f", {self.metric} {values[-1]:.4g}" if values else "")
        self._running[name] = (task, text)
        self._bars.update(task, completed=step, text=text)

    def ended(self, name: str, words: str, *, counts: bool) -> None:
        """A run is over; `counts`: it needs not be done again."""
        task, _ = self._running.pop(name)
        self._bars.remove_task(task)
        self.done += counts
        self._bars.update(self._all, completed=self.done, text=self._counted())
        say(self.console, f"{name}: {words} ({self._counted()})")

    def tick(self) -> None:
        """Once in a while, a line for each run where there are no bars."""
        if self.console.is_terminal or time.monotonic() - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = time.monotonic()
        for name, (_, text) in self._running.items():
            say(self.console, f"  {name}: {text}")

    def _counted(self) -> str:
        return f"{self.done:,} of {self.total:,}"
