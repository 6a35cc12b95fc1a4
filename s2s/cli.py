"""The command line: one function a verb, no logic. Heavy imports are inside the verbs: `s2s --help` answers at once."""

from __future__ import annotations

import errno
import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from s2s import __version__
from s2s.errors import MissingExtraError, UserError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="Recurrent sequence-to-sequence models: from a file of pairs to a REST answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Public corpora that recipes use.", no_args_is_help=True)
config_app = typer.Typer(help="Configuration of recipes and runs.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")


class Device(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Paired(StrEnum):
    """Tests of significance."""

    bs = "bs"
    ar = "ar"


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


RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory made by `s2s train`.", show_default=False)
]
DeviceOption = Annotated[Device, typer.Option(help="Where it runs; auto takes a GPU where there is one.")]

_REFUSED_BY_THE_SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE)


def main() -> None:
    """Entry point: a user's mistake is a message and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", newline="\n")  # as the input is, whatever the locale
    if "" not in sys.path:
        sys.path.append("")  # one's own core in the current folder: model.core=python:mymodule:MyCell
    try:
        app(prog_name="s2s")  # also under `python -m s2s`
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in _REFUSED_BY_THE_SYSTEM:
            raise
        place = error.filename or "standard output or a file"
        _fail(f"{place}: the system refused ({error.strerror}); mend that and try again")


def _fail(message: str) -> NoReturn:
    from rich.markup import escape

    _console().print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(2)


def _console() -> Console:
    from s2s.build.say import make_console

    return make_console()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent sequence-to-sequence models: from a file of pairs to a REST answer."""


@app.command()
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
    raise typer.Exit(train_verb(request, _console()))


@app.command()
def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN...", help="Run directories; the first is compared with.", show_default=False),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Translations made elsewhere, one a line.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="File of pairs (twice for parallel files); the run's test set if left out.")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's if left out.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences decoded at once.")] = None,
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
    output: Annotated[Path | None, typer.Option(help="File for the answers of one run, one a line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Scores as JSON on standard output.")] = False,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Score runs, and compare several: BLEU, chrF, TER with intervals and significance, exact match, perplexity."""
    from s2s.build.evaluate import Wanted, evaluate_verb

    wanted = Wanted(
        runs=runs or [],
        systems=system or [],
        data=data or [],
        beam=beam,
        batch_size=batch_size,
        output=output,
        skip_bad=skip_bad,
        device=device.value,
        bootstrap=bootstrap,
        seed=seed,
        paired=paired.value,
        trials=trials,
        own=metric or [],
        tables=tables,
        examples=examples,
        report=report,
    )
    scores, text = evaluate_verb(wanted, _console())
    typer.echo(_json(scores) if as_json else text)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


@app.command()
def average(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
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
    average_runs(runs, out, wanted, overwrite=overwrite, console=_console())


@app.command()
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
) -> None:
    """Translate line by line, as the lines arrive: N lines in, N lines out."""
    from s2s.build.translate import Answering, translate_verb

    asked = Answering(
        words=words,
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
    )
    translate_verb(asked)


@app.command()
def score(
    run: RunArgument,
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
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs at once.")] = None,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Score given pairs: log-probability, the same a token, perplexity and number of tokens, one line a pair."""
    from s2s.build.score import Scoring, score_verb

    asked = Scoring(
        run=run,
        files=files,
        batch_size=batch_size,
        output=output,
        alignments=alignments,
        json=as_json,
        total=total,
        skip_bad=skip_bad,
        device=device.value,
    )
    score_verb(asked, _console())


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one. 5000 if left out.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; the loopback if left out.")] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Answer at a REST endpoint in the dialect of LibreTranslate."""
    try:
        from s2s.serve.app import Settings, run
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "s2s serve") from None
    from s2s.session import load

    translators = [load(path, device=device.value) for path in runs]
    defaults = translators[0].config.serve
    settings = Settings(char_limit=defaults.char_limit, batch_limit=defaults.batch_limit)
    run(
        translators,
        host=host or defaults.host,
        port=defaults.port if port is None else port,
        settings=settings,
    )


@app.command("recipes")
def list_recipes() -> None:
    """List the recipes that `s2s train` knows by name."""
    from s2s.build.compose import describe, recipes

    found = recipes()
    width = max(map(len, found), default=0)
    for name, path in found.items():
        typer.echo(f"{name:<{width}}  {describe(path)}")


@data_app.command("list")
def list_corpora() -> None:
    """List the corpora that recipes use."""
    from s2s.corpus.fetch import corpora

    for card in corpora():
        typer.echo(f"{card.name}  {card.title}  ({', '.join(card.languages)}; {card.licence})")
    typer.echo("dates  Date-format conversion, generated (no files)")


@data_app.command("fetch")
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


@config_app.command("show")
def show_config(
    words: Annotated[
        list[str], typer.Argument(metavar="RECIPE|RUN [section.key=value...]", help="What to show.", show_default=False)
    ],
) -> None:
    """Show the whole configuration of a recipe or run, defaults included."""
    from s2s.build.verbs import config_text

    typer.echo(config_text(words), nl=False)


@config_app.command("explain")
def explain_config(
    key: Annotated[str, typer.Argument(help="A key or section; all when left out.")] = "",
) -> None:
    """Explain configuration keys: default, what is allowed, meaning."""
    from s2s.config_io import explain

    for name, default, allowed, meaning in explain(key):
        typer.echo(f"{name} = {default}\n    {meaning}\n    allowed: {allowed}")


if __name__ == "__main__":
    main()
