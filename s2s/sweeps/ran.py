"""What a run's folder tells of it: how far it is, its scores, its size. Nothing else of a run is known here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

from s2s.build.folder import RunFolder
from s2s.metrics import better

State = Literal["done", "failed", "unfinished", "new"]
_ERROR = re.compile(r"^error: (.*)", re.MULTILINE | re.DOTALL)
_PEAK = re.compile(r"Peak memory ([\d,]+) MiB")
DIVERGED = "training diverged"
"""How the error of a run begins whose loss is no number."""


@dataclass(frozen=True)
class Ran:
    """A run as its folder has it.

    Attributes:
        state: `done`: trained and scored; `failed`: ended with an error; `unfinished`: can be gone on with; `new`: has
            nothing to go on from.
        why: the error of a failed one.
        validations: lines of `metrics.jsonl`, in order.
        parameters: numbers in the model.
        seconds: of training and validation.
        peak_mib: most memory of the process, in MiB.
        scores: of the test set.
    """

    state: State
    why: str = ""
    validations: Sequence[Mapping[str, Any]] = ()
    parameters: int | None = None
    seconds: float | None = None
    peak_mib: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Update and value of each validation that has one."""
        return [(row["step"], float(row[name])) for row in self.validations if isinstance(row.get(name), (int, float))]


def read_run(folder: RunFolder, log: Path) -> Ran:
    """The run in a folder, whose console went into `log`."""
    said = last_attempt(log)
    rows = folder.log_lines()
    peak = _PEAK.findall(said)
    state, why = _state(folder, said)
    return Ran(
        state=state,
        why=why,
        validations=[row for row in rows if row["event"] == "valid"],
        parameters=count_parameters(folder.weights),
        seconds=rows[-1]["seconds"] if rows else None,
        peak_mib=int(peak[-1].replace(",", "")) if peak else None,
        scores=_json(folder.scores),
    )


def _state(folder: RunFolder, said: str) -> tuple[State, str]:
    if folder.card.is_file():  # what a run writes last
        return "done", ""
    if error := _ERROR.search(said):
        return "failed", " ".join(error[1].split())
    if "Traceback" in said and (last := said.split("\n")[-2]) != "KeyboardInterrupt":
        return "failed", last
    return ("unfinished" if can_resume(folder) else "new"), ""


def can_resume(folder: RunFolder) -> bool:
    """Whether there is a checkpoint."""
    return folder.exists() and any(folder.checkpoints.glob("step-*"))


def last_attempt(log: Path) -> str:
    """What the run said since it was last started (each start writes a line `$ s2s ...`)."""
    if not log.is_file():
        return ""
    return re.split(r"^\$ s2s .*\n", log.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[-1]


def count_parameters(weights: Path) -> int | None:
    """Numbers in a safetensors file, by its header; tied tensors stand there once. None: there is no such file."""
    try:
        with weights.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError):
        return None
    return sum(int(prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def best_of(metric: str, values: Sequence[float]) -> float | None:
    """The best of them by a metric; None where there is none that is a number."""
    best: float | None = None
    for value in values:
        best = value if better(metric, value, best) else best
    return best


def first_beyond(metric: str, curve: Sequence[tuple[int, float]], value: float, consecutive: int) -> int | None:
    """The step of the first of `consecutive` points in a row that are better than `value`; None: there is none."""
    row = 0
    for place, (_, found) in enumerate(curve):
        row = row + 1 if better(metric, found, value) else 0
        if row == consecutive:
            return curve[place - consecutive + 1][0]
    return None
