"""A task by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_never

from s2s.errors import UserError
from s2s.tasks.adding import Adding
from s2s.tasks.binary_addition import BinaryAddition
from s2s.tasks.bit_count import BitCount
from s2s.tasks.copying import Copy
from s2s.tasks.length import Length
from s2s.tasks.pixels import STEPS, read_pixels
from s2s.tasks.reber import Reber
from s2s.tasks.task import Task

TaskName = Literal["bit-count", "binary-addition", "length", "adding", "copy", "reber", "pixel-mnist", "permuted-mnist"]


def make_task(name: TaskName, *, seed: int, length: int | None = None, folder: Path | None = None) -> Task:
    """The task of this name.

    Args:
        name: which.
        seed: with the row, and where examples are drawn the epoch, it decides all that chance has a part in.
        length: bits, steps, blanks or symbols, as the task has it; None: as published.
        folder: where the four files of MNIST are; the other tasks need none.

    Raises:
        UserError: a length that the task cannot be made with, or whatever is wrong with the files.
    """
    chosen = {} if length is None else {"length": length}
    match name:
        case "bit-count":
            return BitCount(seed, **chosen)
        case "binary-addition":
            return BinaryAddition(seed, **chosen)
        case "length":
            return Length(seed, **chosen)
        case "adding":
            return Adding(seed, **chosen)
        case "copy":
            return Copy(seed, **chosen)
        case "reber":
            return Reber(seed, **chosen)
        case "pixel-mnist" | "permuted-mnist":
            if length not in (None, STEPS):
                raise UserError(
                    f"the task {name} has {STEPS} steps, one a pixel, and cannot be made with {length:,}:"
                    " leave data.length out"
                )
            if folder is None:
                raise UserError(f"the task {name} reads the four files of MNIST: name their folder with --from DIR")
            return read_pixels(folder, seed=seed, permuted=name == "permuted-mnist")
        case _:
            assert_never(name)
