"""The verb that draws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import make_console


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder; RUN/plots if left out.")] = None,
    row: Annotated[int | None, typer.Option(help="Test example of a sequence task; a telling one if left out.")] = None,
    text: Annotated[str | None, typer.Option(help="Source whose attention and encoder states are drawn.")] = None,
) -> None:
    """Draw runs: learning curve, attention maps, states and gates over time."""
    from s2s.build.plot import plot_verb

    plot_verb(runs, make_console(), out=out, row=row, text=text)
