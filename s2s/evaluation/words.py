"""Tables for a console."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from s2s.evaluation.result import Table

_WIDE = 10_000  # what is no terminal gets whole lines


def as_text(tables: Iterable[Table]) -> str:
    """The tables one below the other, as wide as the terminal at most."""
    width = shutil.get_terminal_size((_WIDE, 24)).columns
    console = Console(file=io.StringIO(), width=width, color_system=None, emoji=False, highlight=False)
    for table in tables:
        grid = Grid(box=box.SIMPLE_HEAD, title=Text(table.title), title_justify="left", pad_edge=False, show_edge=False)
        for number, name in enumerate(table.header):
            grid.add_column(Text(name), justify="right" if number and _numeric(table, number) else "left")
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        console.print(grid)
        if table.note:
            console.print(Text(table.note))
        console.print()
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).rstrip()


def _numeric(table: Table, column: int) -> bool:
    return all(row[column][:1] in "+-.0123456789" for row in table.rows)
