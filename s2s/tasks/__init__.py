"""Sequence tasks: seeded generators of the literature's small experiments, in NumPy (`docs/tasks.md`).

Torch stays out of this room but for `s2s.tasks.batch`, which is imported by that name.
"""

from s2s.tasks.adding import Adding
from s2s.tasks.binary_addition import BinaryAddition
from s2s.tasks.bit_count import BitCount
from s2s.tasks.copying import Copy
from s2s.tasks.idx import read_idx
from s2s.tasks.length import Length
from s2s.tasks.make import TaskName, make_task
from s2s.tasks.pixels import Pixels, read_pixels
from s2s.tasks.reber import Reber
from s2s.tasks.task import NOTHING, Classes, Numbers, Series, Splits, Symbols, Task, Values

__all__ = [
    "NOTHING",
    "Adding",
    "BinaryAddition",
    "BitCount",
    "Classes",
    "Copy",
    "Length",
    "Numbers",
    "Pixels",
    "Reber",
    "Series",
    "Splits",
    "Symbols",
    "Task",
    "TaskName",
    "Values",
    "make_task",
    "read_idx",
    "read_pixels",
]
