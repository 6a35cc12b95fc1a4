"""The verbs that make many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import make_console


def compare(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|STUDY|GRID.toml [section.key=value[,value...]]...",
            help="A recipe, or a study or file with a grid; then keys. One with several values is an axis; a value that"
            " is a list keeps its brackets.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for runs and report; runs/compare-NAME when left out.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at once; as many as the cores allow when left out.")] = (
        None
    ),
    threshold: Annotated[
        float | None, typer.Option(help="Report the updates until training.metric is better than this.")
    ] = None,
    consecutive: Annotated[int, typer.Option(min=1, help="Of so many validations in a row, the first counts.")] = 1,
    published: Annotated[
        Path | None,
        typer.Option(help="CSV file of the published curves that the grid names; they are drawn beside ours."),
    ] = None,
    leave_failed: Annotated[bool, typer.Option(help="Leave runs that failed before, instead of a new try.")] = False,
    report_only: Annotated[bool, typer.Option(help="Train nothing; report what is there.")] = False,
) -> None:
    """Train every combination of a grid side by side and report: curves with bands over seeds, tables, CSV."""
    from s2s.sweeps.compare import CompareRequest, compare_verb

    request = CompareRequest(
        words=words,
        out=out,
        jobs=jobs,
        threshold=threshold,
        consecutive=consecutive,
        published=published,
        leave_failed=leave_failed,
        report_only=report_only,
    )
    code, text = compare_verb(request, make_console())
    if text:
        typer.echo(text)
    raise typer.Exit(code)


def tune(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY|SPACE.toml [section.key=value]...",
            help="A study or file with a search space; then keys that hold for every trial.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for runs and report; runs/tune-NAME when left out.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; as many as the cores allow when left out.")
    ] = None,
    storage: Annotated[
        str,
        typer.Option(metavar="URL", help="Database of the study, for several machines; SQLite in the folder if not."),
    ] = "",
    study: Annotated[str, typer.Option(help="Name of the study in the database; the file's when left out.")] = "",
) -> None:
    """Search for the best values of keys with Optuna: bad trials are stopped early, the best becomes a recipe."""
    from s2s.sweeps.tune import TuneRequest, tune_verb

    request = TuneRequest(words=words, out=out, jobs=jobs, storage=storage, study=study)
    code, text = tune_verb(request, make_console())
    if text:
        typer.echo(text)
    raise typer.Exit(code)
