"""The command line: one function a verb, no logic. Heavy imports are inside the verbs: `s2s --help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory made by `s2s train`.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def main() -> None:
    """Entry point: a user's mistake is a message and exit code 2, never a traceback."""
    try:
        app()
    except UserError as error:
        _console().print(f"[bold red]error:[/] {_plain(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


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
    run: RunArgument,
    data: Annotated[
        list[str] | None, typer.Option(help="File of pairs (twice for parallel files); the run's test set if left out.")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's if left out.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences decoded at once.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the answers, one a line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Scores as JSON on standard output.")] = False,
    skip_bad: Annotated[bool, typer.Option(help="Count malformed lines instead of stopping.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Score a run: exact match, BLEU, chrF and TER with sacreBLEU's signature."""
    from s2s.build.verbs import evaluate_verb

    scores, line = evaluate_verb(
        run,
        data or [],
        beam=beam,
        batch_size=batch_size,
        output=output,
        skip_bad=skip_bad,
        device=device,
        console=_console(),
    )
    typer.echo(_json(scores) if as_json else line)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


@app.command()
def translate(
    run: RunArgument,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam width; the run's if left out.")] = None,
    n_best: Annotated[int, typer.Option(min=1, help="Answers a line; more than one prints number, score, text.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Sentences decoded at once.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Translate standard input line by line: N lines in, N lines out."""
    from s2s.session import load, translate_lines

    translator = load(run, device=device)  # type: ignore[arg-type]
    chunk = 1 if sys.stdin.isatty() else 1024
    kept: list[str] = []
    answers = translate_lines(
        translator, _remember(_stdin_lines(), kept), n_best=n_best, beam=beam, batch_size=batch_size, chunk=chunk
    )
    for number, found in enumerate(answers, start=1):
        source = kept.pop(0) if as_json else ""
        if as_json:
            typer.echo(_json({"source": source, "translations": [answer._asdict() for answer in found]}))
        elif n_best == 1:
            typer.echo(_one_line(found[0].text))
        else:
            for answer in found:
                typer.echo(f"{number}\t{answer.score:.4f}\t{_one_line(answer.text)}")


def _remember(lines: Iterator[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _one_line(text: str) -> str:
    """N lines in, N lines out, whatever a model writes."""
    return text.replace("\r", " ").replace("\n", " ")


def _stdin_lines() -> Iterator[str]:
    """Lines of standard input; only a line feed ends one."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise UserError(
                f"standard input, line {number}: not UTF-8 ({error.reason} at byte {error.start}); convert it first,"
                " for example with iconv -t utf-8"
            ) from None


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one. 5000 if left out.")] = None,
    host: Annotated[str | None, typer.Option(help="Address; the loopback if left out.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Answer at a REST endpoint in the dialect of LibreTranslate."""
    try:
        from s2s.serve.app import Settings, run
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "s2s serve") from None
    from s2s.session import load

    translators = [load(path, device=device) for path in runs]  # type: ignore[arg-type]
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
