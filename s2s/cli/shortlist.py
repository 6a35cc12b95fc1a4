"""The verb that learns which words a source makes likely."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import make_console


def shortlist(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]) -> None:
    """Learn which target tokens the source tokens of a run make likely, for answers among these (search.shortlist)."""
    from s2s.build.shortlist import shortlist_verb

    typer.echo(shortlist_verb(run, make_console()))
