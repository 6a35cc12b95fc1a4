"""The verbs that make runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import RunsArgument, make_console


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE|FILE...] [section.key=value...]",
            help="A recipe, a file of pairs, two parallel files, or - for standard input; then overrides.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Run directory; runs/NAME when left out.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run, exactly.")] = None,
    init_from: Annotated[Path | None, typer.Option(metavar="RUN", help="Start from this run's weights.")] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="Folder with the corpus' files.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Validation file (twice for parallel files).")] = None,
    test: Annotated[list[str] | None, typer.Option(help="Test file (twice for parallel files).")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is there.")] = False,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
) -> None:
    """Train a model from a recipe or a file of pairs, score it and draw its pictures."""
    from s2s.build.verbs import Request, train_verb

    request = Request(
        words=words or [],
        out=out,
        resume=resume,
        init_from=init_from,
        root=source,
        valid=valid or [],
        test=test or [],
        overwrite=overwrite,
        skip_bad=skip_bad,
    )
    raise typer.Exit(train_verb(request, make_console()))


def average(
    runs: RunsArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="The new run directory.", show_default=False)],
    last: Annotated[int | None, typer.Option(min=1, metavar="K", help="The last K checkpoints of each.")] = None,
    best: Annotated[int | None, typer.Option(min=1, metavar="K", help="The best K (training.keep_best).")] = None,
    checkpoint: Annotated[
        list[int] | None, typer.Option(min=0, metavar="STEP", help="The checkpoint of an update; once for each.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is there.")] = False,
) -> None:
    """Average the weights of several models of a run (or of runs that began alike) into a new run."""
    from s2s.build.average import Wanted
    from s2s.build.average import average as average_runs

    wanted = Wanted(last, best, checkpoint or [])
    average_runs(runs, out, wanted, overwrite=overwrite, console=make_console())
