"""The verb that scores runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from s2s.cli.options import Device, DeviceOption, PrecisionOption, ToOption, make_console


class Tokenize(StrEnum):
    """What sacreBLEU cuts texts into words with."""

    mteval = "13a"
    intl = "intl"
    char = "char"
    zh = "zh"
    ja_mecab = "ja-mecab"
    ko_mecab = "ko-mecab"
    flores101 = "flores101"
    flores200 = "flores200"
    spbleu = "spBLEU-1K"
    none = "none"


class Paired(StrEnum):
    """Tests of significance."""

    bs = "bs"
    ar = "ar"


def evaluate(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN... [search.key=value...]",
            help="Run directories, the first is compared with; then keys of [search] (`s2s config explain search`).",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Translations made elsewhere, one a line.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="File of pairs (twice for parallel files); the run's test set if left out.")
    ] = None,
    to: ToOption = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's if left out.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences decoded at once.")] = None,
    tokenize: Annotated[Tokenize, typer.Option(help="BLEU's tokenizer, as sacreBLEU calls it.")] = Tokenize.mteval,
    bootstrap: Annotated[
        int | None, typer.Option(min=0, help="Samples for intervals and paired bootstrap; 1000 if left out, 0: none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=1, help="Of the samples; sacreBLEU's if left out.")] = None,
    paired: Annotated[
        Paired, typer.Option(help="Significance by paired bootstrap or approximate randomisation.")
    ] = Paired.bs,
    trials: Annotated[int | None, typer.Option(min=1, help="Of --paired ar; 10000 if left out.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="python:MODULE:FUNCTION", help="A metric of your own as well.")
    ] = None,
    tables: Annotated[bool, typer.Option("--tables", help="By length and word frequency, worst and best too.")] = False,
    examples: Annotated[int, typer.Option(min=0, help="Worst and best sentences in tables and report.")] = 10,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for report.md, report.html and report.json.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Dialogues: word vectors for embedding metrics of replies.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Dialogues: of a latent variable, a turn; 100 if left out.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File for the answers of one run, one a line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Scores as JSON on standard output.")] = False,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = None,
) -> None:
    """Score runs, and compare several: BLEU, chrF, TER with intervals and significance, exact match, perplexity."""
    from s2s.build.evaluate import Wanted, evaluate_verb

    wanted = Wanted(
        words=words or [],
        systems=system or [],
        data=data or [],
        to=to,
        beam=beam,
        batch_size=batch_size,
        output=output,
        skip_bad=skip_bad,
        device=device.value,
        precision=precision.value if precision else None,
        bootstrap=bootstrap,
        seed=seed,
        paired=paired.value,
        trials=trials,
        tokenize=tokenize.value,
        own=metric or [],
        tables=tables,
        examples=examples,
        report=report,
        vectors=vectors,
        samples=samples,
    )
    scores, text = evaluate_verb(wanted, make_console())
    typer.echo(_json(scores) if as_json else text)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
