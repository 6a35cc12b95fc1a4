"""The verbs put together, and what becomes of an error."""

from __future__ import annotations

import errno
import io
import sys
from typing import Annotated, NoReturn

import typer

from s2s import __version__
from s2s.cli.answer import score, serve, translate
from s2s.cli.chat import chat
from s2s.cli.embed import embed
from s2s.cli.evaluate import evaluate
from s2s.cli.keys import list_all, make, revoke
from s2s.cli.look import explain_config, fetch_corpus, list_corpora, list_recipes, show_config
from s2s.cli.options import make_console
from s2s.cli.plot import plot
from s2s.cli.shortlist import shortlist
from s2s.cli.sweeps import compare, tune
from s2s.cli.train import average, train
from s2s.errors import UserError

_REFUSED_BY_THE_SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE)


def main() -> None:
    """Entry point: a user's mistake is a message and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", newline="\n")  # as the input is, whatever the locale
    if "" not in sys.path:
        sys.path.append("")  # one's own core in the current folder: model.core=python:mymodule:MyCell
    try:
        _app()(prog_name="s2s")  # also under `python -m s2s`
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in _REFUSED_BY_THE_SYSTEM:
            raise
        place = error.filename or "standard output or a file"
        _fail(f"{place}: the system refused ({error.strerror}); mend that and try again")


def _app() -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for verb in (train, embed, evaluate, average, compare, tune, plot, shortlist, translate, score, chat, serve):
        app.command()(verb)
    app.command("recipes")(list_recipes)
    data = typer.Typer(help="Public corpora that recipes use.", no_args_is_help=True)
    data.command("list")(list_corpora)
    data.command("fetch")(fetch_corpus)
    config = typer.Typer(help="Configuration of recipes and runs.", no_args_is_help=True)
    config.command("show")(show_config)
    config.command("explain")(explain_config)
    keys = typer.Typer(help="API keys of a server.", no_args_is_help=True)
    keys.command("make")(make)
    keys.command("list")(list_all)
    keys.command("revoke")(revoke)
    app.add_typer(data, name="data")
    app.add_typer(config, name="config")
    app.add_typer(keys, name="keys")
    return app


def _fail(message: str) -> NoReturn:
    from rich.markup import escape

    make_console().print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"s2s {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent sequence-to-sequence models: from a file of pairs to a REST answer."""
