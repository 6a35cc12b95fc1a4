"""The verb that learns word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import make_console


def embed(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...|RECIPE] [section.key=value...]",
            help="Texts, one a line (columns apart by tabs are texts of their own; .gz too), or a recipe or data.corpus"
            " for its training texts; keys of [data] and [text].",
            show_default=False,
        ),
    ] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="Folder with the corpus' files.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where the vectors go: .txt or .vec as text, else binary.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Numbers of a vector.")] = 100,
    window: Annotated[int, typer.Option(min=1, help="Words on each side that a word is seen with, at most.")] = 5,
    min_count: Annotated[int, typer.Option(min=1, help="Rarer words get no vector.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="How often the texts are read.")] = 5,
    negative: Annotated[int, typer.Option(min=1, help="Random words beside each true one.")] = 5,
    cbow: Annotated[bool, typer.Option("--cbow", help="CBOW instead of skip-gram.")] = False,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="As text.lowercase.")] = False,
    seed: Annotated[int, typer.Option(min=1, help="Of all that is random.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Threads; with more than one no two runs are the same.")] = 1,
    show: Annotated[
        Path | None, typer.Option(metavar="VECTORS", help="Learn nothing; look at this file of vectors.")
    ] = None,
    neighbours: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Print the words nearest to this one; once for each.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw words in two dimensions.")] = None,
) -> None:
    """Learn word vectors (word2vec) from texts, for model.embeddings; nearest neighbours and a picture of them."""
    from s2s.build.embed import Learning, Wanted, embed_verb

    how = Learning(size, window, min_count, epochs, negative, cbow, seed, workers)
    wanted = Wanted(words or [], source, out, show, lowercase, how, neighbours or [], plot)
    if text := embed_verb(wanted, make_console()):
        typer.echo(text)
