"""What a run tells: a progress bar or plain lines, `metrics.jsonl`, TensorBoard events."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from s2s.errors import MissingExtraError
from s2s.training import state
from s2s.training.files import disk_errors, write_text

SECONDS_BETWEEN_LINES = 20.0
"""How often a run without a terminal says how it goes."""
UPDATES_A_LINE = 50
"""How many updates a training line of `metrics.jsonl` sums up, unless a validation or the clock comes first."""


LONGEST_SAMPLE = 120
"""Characters of a source that are shown beside an answer."""


class Sample(NamedTuple):
    """One validation pair and the model's answer."""

    source: str
    reference: str
    answer: str


class Validation(NamedTuple):
    """Scores of a validation and a few samples to look at."""

    scores: Mapping[str, float]
    samples: Sequence[Sample]
    seconds: float


class RunLog:
    """The log of one run.

    Args:
        folder: the run.
        console: where lines and the bar go.
        total: updates of the whole run if known, for the bar.
        start: the progress that is resumed from; later lines of `metrics.jsonl` are cut off.
        tensorboard: whether to write events too.
    """

    def __init__(
        self, folder: Path, console: Console, *, total: int | None, start: state.Progress, tensorboard: bool = False
    ) -> None:
        self.path = folder / "metrics.jsonl"
        self.console = console
        self._writer = _summary_writer(folder, start.update) if tensorboard else None
        _cut_back(self.path, start)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.fields[total_text]} updates"),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:,.0f} tokens/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        text = f"{total:,}" if total else "?"
        self._task = self._bar.add_task(
            "epoch 1", total=total, completed=start.update, loss=0.0, rate=0.0, total_text=text
        )
        self._window = _Window()
        self._last_line = time.monotonic()

    def __enter__(self) -> RunLog:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def say(self, text: str) -> None:
        """A line for the reader."""
        self.console.print(escape(text), highlight=False)

    def update(self, progress: state.Progress, *, loss: float, rate: float, norm: float, tokens: int) -> None:
        """After each optimiser step."""
        self._window.add(loss, tokens, rate=rate, norm=norm)
        speed = self._window.speed()
        self._bar.update(
            self._task, completed=progress.update, description=f"epoch {progress.epoch + 1}", loss=loss, rate=speed
        )
        quiet = time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES
        if quiet and not self.console.is_terminal:
            mean = self._window.mean()
            self.say(f"  update {progress.update:,}: loss {mean:.3f}, {speed:,.0f} tokens/s, {progress.seconds:.0f} s")
            self._last_line = time.monotonic()
        if quiet or self._window.count >= UPDATES_A_LINE:
            self._close_window(progress)

    def _close_window(self, progress: state.Progress) -> None:
        """Write down what was trained since the last line."""
        window = self._window
        if window.count:
            means = {"loss": window.mean(), "learning_rate": window.rate, "gradient_norm": window.norm}
            self._write(progress, "train", **means, tokens_per_second=window.speed())
        self._window = _Window()

    def validation(self, progress: state.Progress, validation: Validation, *, best: bool) -> None:
        """After each validation."""
        scores = dict(validation.scores)
        self._close_window(progress)
        self._write(progress, "valid", best=best, validation_seconds=validation.seconds, **scores)
        shown = "  ".join(f"{name} {_shown(name, value)}" for name, value in scores.items())
        mark = "  *best*" if best else ""
        done = f"epoch {progress.epoch}" if progress.batch == 0 else f"epoch {progress.epoch + 1}"
        training = progress.seconds
        self.say(f"{done}, update {progress.update:,}, {training:.0f} s: {shown}{mark}")
        for sample in validation.samples:
            right = "=" if sample.answer.strip() == sample.reference.strip() else "≠"
            self.say(f"    {_ending(sample.source)}  →  {sample.answer}  {right}  {sample.reference}")
        self._window = _Window()
        self._last_line = time.monotonic()

    def trouble(self, progress: state.Progress, event: str, text: str) -> None:
        """When something went wrong that the run could mend by itself; `event` is its name in `metrics.jsonl`."""
        self._write(progress, event, text=text)
        self.say(f"  {text}")

    def went_back(self, progress: state.Progress) -> None:
        """When the run returned to a checkpoint: what it had told since then is taken back."""
        _cut_back(self.path, progress)
        self._window = _Window()

    def saved(self) -> None:
        """After each checkpoint."""
        if self._writer is not None:
            self._writer.flush()

    def _write(self, progress: state.Progress, event: str, **values: Any) -> None:
        line = {"step": progress.update, "epoch": progress.epoch, "event": event, "seconds": round(progress.seconds, 3)}
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | values) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{event}/{name}", value, progress.update)


class Quiet:
    """The log of all processes but the first: it says only what that one does not know."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def update(self, progress: state.Progress, *, loss: float, rate: float, norm: float, tokens: int) -> None:
        pass

    def validation(self, progress: state.Progress, validation: Validation, *, best: bool) -> None:
        pass

    def trouble(self, progress: state.Progress, event: str, text: str) -> None:
        del progress
        if event == "out_of_memory":  # any other trouble is one of all
            print(f"  process {self.rank}: {text}", file=sys.stderr)

    def went_back(self, progress: state.Progress) -> None:
        pass

    def saved(self) -> None:
        pass


class _Window:
    """Loss and speed since the last line; what comes after the last update, such as a validation, does not count."""

    def __init__(self) -> None:
        self.count, self._loss, self._tokens = 0, 0.0, 0
        self._started = self._last = time.monotonic()
        self.rate = self.norm = 0.0

    def add(self, loss: float, tokens: int, *, rate: float, norm: float) -> None:
        self.count, self._loss, self._tokens = self.count + 1, self._loss + loss * tokens, self._tokens + tokens
        self.rate, self.norm, self._last = rate, norm, time.monotonic()

    def mean(self) -> float:
        return self._loss / max(self._tokens, 1)

    def speed(self) -> float:
        return self._tokens / max(self._last - self._started, 1e-9)


def _ending(text: str) -> str:
    """The last words, where a text is longer than a line: a flat dialogue's source is all that was said before."""
    return text if len(text) <= LONGEST_SAMPLE else "… " + text[-LONGEST_SAMPLE:].partition(" ")[2]


def _shown(name: str, value: float) -> str:
    if name in ("exact_match", "token_accuracy"):
        return f"{100 * value:.2f} %"
    if name.endswith("_units"):  # a count
        return f"{value:.0f}"
    return f"{value:.4f}" if name in ("loss", "kl") else f"{value:.2f}"


def _cut_back(path: Path, start: state.Progress) -> None:
    """Drop the lines after `start`: a resumed run writes them again."""
    if not path.exists():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _belongs(line, start)]
    write_text(path, "".join(f"{line}\n" for line in kept))


def _belongs(line: str, start: state.Progress) -> bool:
    try:
        row = json.loads(line)
        last = start.validated if row["event"] == "valid" else start.update
        return bool(row["step"] <= last)
    except (ValueError, KeyError, TypeError):
        return False  # half a line of a process that was killed


def _summary_writer(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard", "training.tensorboard = true") from None
    writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
    return writer
