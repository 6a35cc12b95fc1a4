"""The verbs that ask a run: for answers, for the likelihood of given ones, for an endpoint."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from s2s.cli.options import Device, DeviceOption, Precision, PrecisionOption, ToOption, make_console
from s2s.errors import MissingExtraError


class Layout(StrEnum):
    """What lines hold."""

    auto = "auto"
    text = "text"
    json = "json"


class Split(StrEnum):
    """Which texts are cut into sentences."""

    auto = "auto"
    always = "always"
    never = "never"


def translate(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [search.key=value...]",
            help="A run directory, or several that answer as one; then keys of [search] (`s2s config explain search`).",
            show_default=False,
        ),
    ],
    input: Annotated[
        Path | None, typer.Option("-i", "--input", help="File of texts, one a line; standard input if left out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the answers; standard output if left out.")
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="File for word alignments by attention, in Pharaoh format (0-0 1-2).")
    ] = None,
    input_format: Annotated[
        Layout, typer.Option(help='json: one object a line with a "text"; auto: by suffix, else text.')
    ] = Layout.auto,
    output_format: Annotated[
        Layout, typer.Option(help="auto: by suffix; on standard output as the input.")
    ] = Layout.auto,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output-format json.")] = False,
    to: ToOption = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's if left out.")] = None,
    n_best: Annotated[int, typer.Option(min=1, help="Answers a line; more than one prints number, score, text.")] = 1,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences decoded at once.")] = None,
    split: Annotated[
        Split,
        typer.Option(
            "--split-sentences", help="Translate sentence by sentence; auto: lines longer than training pairs were."
        ),
    ] = Split.auto,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = None,
) -> None:
    """Translate line by line, as the lines arrive: N lines in, N lines out."""
    from s2s.build.translate import Answering, translate_verb

    asked = Answering(
        words=words,
        to=to,
        beam=beam,
        batch_size=batch_size,
        n_best=n_best,
        split=split.value,
        input=input,
        output=output,
        alignments=alignments,
        input_format=input_format.value,
        output_format="json" if as_json else output_format.value,
        device=device.value,
        precision=(precision or Precision.float32).value,
    )
    translate_verb(asked)


def score(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run directory made by `s2s train`.", show_default=False)
    ],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="A file of pairs, two parallel files, or - for standard input.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the scores; standard output if left out.")
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="File for word alignments by attention, in Pharaoh format (0-0 1-2).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, with the score of each token.")] = False,
    total: Annotated[bool, typer.Option("--total", help="One line for all pairs together.")] = False,
    to: ToOption = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs at once.")] = None,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Score given pairs: log-probability, the same a token, perplexity and number of tokens, one line a pair."""
    from s2s.build.score import Scoring, score_verb

    asked = Scoring(
        run=run,
        files=files,
        to=to,
        batch_size=batch_size,
        output=output,
        alignments=alignments,
        json=as_json,
        total=total,
        skip_bad=skip_bad,
        device=device.value,
    )
    score_verb(asked, make_console())


def serve(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [serve.key=value...]",
            help="Run directories; then keys of [serve] (`s2s config explain serve`), else those of the first run.",
            show_default=False,
        ),
    ],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one. 5000 if left out.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; the loopback if left out.")] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answer only holders of a key in this file (`s2s keys make`).")
    ] = None,
    device: DeviceOption = Device.auto,
    precision: Annotated[
        Precision | None, typer.Option(help="Of the output layer's product; that of [serve] if left out.")
    ] = None,
) -> None:
    """Answer at a REST endpoint in the dialects of LibreTranslate, DeepL and OpenAI. SIGHUP loads the runs anew."""
    try:
        from s2s.serve.app import run
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "s2s serve") from None
    from s2s.build.serving import load_runs, serve_settings, share_cores
    from s2s.build.words import split_serve

    runs, tree = split_serve(words)
    settings, threads = share_cores(serve_settings(runs[0], tree), device.value)
    chosen = precision.value if precision else settings.precision
    load = partial(load_runs, runs, device=device.value, threads=threads, precision=chosen)
    run(
        load(),
        host=host or settings.host,
        port=settings.port if port is None else port,
        settings=settings,
        keys=keys,
        again=load,
    )
