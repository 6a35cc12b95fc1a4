"""The verbs that tell what there is: recipes, corpora, configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def list_recipes() -> None:
    """List the recipes that `s2s train` knows by name, and the studies of `s2s compare` and `s2s tune`."""
    from s2s.build.words import describe, recipes, studies

    width = max(map(len, [*recipes(), *studies()]), default=0)
    for heading, found in (("", recipes()), ("\nStudies, for s2s compare or s2s tune:", studies())):
        if heading:
            typer.echo(heading)
        for name, path in found.items():
            typer.echo(f"{name:<{width}}  {describe(path)}")


def list_corpora() -> None:
    """List the corpora that recipes use."""
    from s2s.corpus.fetch import corpora

    for card in corpora():
        typer.echo(f"{card.name}  {card.title}  ({card.contents}; {card.licence})")
    typer.echo("dates  Date-format conversion, generated (no files)")
    typer.echo("addition  Sums as strings, generated (no files)")


def fetch_corpus(
    name: Annotated[str, typer.Argument(help="Name of a corpus card.", show_default=False)],
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Folder that already has the files.")
    ] = None,
) -> None:
    """Fetch a corpus into the cache (or check a folder that already has it)."""
    from s2s import resources
    from s2s.corpus.fetch import card, fetch

    typer.echo(fetch(card(name), cache=resources.cache() / "corpora", source=source))


def show_config(
    words: Annotated[
        list[str], typer.Argument(metavar="RECIPE|RUN [section.key=value...]", help="What to show.", show_default=False)
    ],
) -> None:
    """Show the whole configuration of a recipe or run, defaults included."""
    from s2s.build.verbs import config_text

    typer.echo(config_text(words), nl=False)


def explain_config(
    key: Annotated[str, typer.Argument(help="A key or section; all when left out.")] = "",
) -> None:
    """Explain configuration keys: default, what is allowed, meaning."""
    from s2s.config.io import explain

    for name, default, allowed, meaning in explain(key):
        typer.echo(f"{name} = {default}\n    {meaning}\n    allowed: {allowed}")
