"""What the verbs of the command line do, with their words already taken apart."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from s2s.build.answers import finish_task
from s2s.build.compose import compose, compose_from_run
from s2s.build.corpus import Corpus, load_corpus
from s2s.build.dialogues import DialogueCorpus, holds_dialogues
from s2s.build.folder import RunFolder
from s2s.build.load import load_translator
from s2s.build.report import finish
from s2s.build.run import Wish, resume, start
from s2s.build.say import say
from s2s.build.spoken import finish_dialogues
from s2s.build.words import find_recipe, split_words
from s2s.config.io import check, dump, merge, read_toml
from s2s.errors import UserError
from s2s.training.hardware import peak_memory
from s2s.training.processes import Processes, joined

Device = Literal["auto", "cpu", "cuda", "mps"]
ASKED = {"interrupted": 130, "stopped": 130, "terminated": 143}
"""Ends that were asked for, with the exit code that a shell gives to the signal (SIGINT, SIGTERM)."""


@dataclass(frozen=True)
class Request:
    """The words of `s2s train`."""

    words: Sequence[str]
    out: Path | None = None
    resume: Path | None = None
    init_from: Path | None = None
    root: Path | None = None
    valid: Sequence[str] = field(default_factory=list)
    test: Sequence[str] = field(default_factory=list)
    overwrite: bool = False
    skip_bad: bool = False

    def overrides(self) -> dict[str, Any]:
        """Options that stand for configuration keys."""
        data: dict[str, Any] = {}
        if self.root is not None:
            data["root"] = str(self.root)
        if self.valid:
            data["valid"] = list(self.valid)
        if self.test:
            data["test"] = list(self.test)
        if self.skip_bad:
            data["skip_bad"] = True
        return {"data": data} if data else {}


def train_verb(request: Request, console: Console) -> int:
    """Train, resume or fine-tune, then score and draw; the exit code. Of several processes the first one speaks."""
    with joined() as processes:
        console.quiet = processes.rank > 0
        _log_to(console)
        path, end, corpus = _train(request, console, processes)
        if end == "stopped":  # in the middle of something: the others can't be waited for
            return _finish(path, end, console, corpus)
        return processes.alone(lambda: _finish(path, end, console, corpus))


def _train(
    request: Request, console: Console, processes: Processes
) -> tuple[Path, str, Corpus | DialogueCorpus | None]:
    """The run's folder, why it ended, and its pairs or dialogues if they were read here."""
    inputs, extra = split_words(request.words)
    extra = merge(extra, request.overrides())
    if request.resume is not None:
        if inputs or request.init_from or request.out or request.overwrite:
            raise UserError(
                "--resume goes on with a run where it is: expected only RUN and overrides of [training], got files,"
                " -o, --init-from or --overwrite as well; leave those out, or leave --resume out for a new run"
            )
        return request.resume, resume(request.resume, extra, console, processes=processes), None
    if request.out is not None:
        RunFolder(request.out).refuse_if_taken(overwrite=request.overwrite)
    if request.init_from is not None:
        composed = compose_from_run(inputs, extra, request.init_from)
    else:
        composed = compose(inputs, extra, console)
    folder = request.out or Path("runs") / (composed.config.name or "run")
    wish = Wish(
        folder=folder,
        overwrite=request.overwrite,
        init_from=request.init_from,
        stdin=composed.stdin,
        header=composed.header,
        reasons=composed.reasons,
    )
    return folder, start(composed.config, composed.corpus, wish, console, processes=processes), composed.corpus


def _finish(path: Path, end: str, console: Console, corpus: Corpus | DialogueCorpus | None) -> int:
    again, shown = f"Go on with: s2s train --resume {shlex.quote(str(path))}", shlex.quote(str(path))
    if end in ASKED:
        say(console, f"Stopped; the last checkpoint holds. {again}" if end == "stopped" else f"Saved. {again}")
        return ASKED[end]
    say(console, f"Ended: {end}.{_memory()}")
    folder = RunFolder(path)
    config = folder.read()[0]
    if config.data.task:
        finish_task(path, console)
        say(console, f"The model is in {path}. Try: s2s evaluate {shown}   s2s plot {shown}")
        return 0
    if holds_dialogues(config):
        assert not isinstance(corpus, Corpus)
        finish_dialogues(path, corpus, console)
        say(console, f"The model is in {path}. Try: s2s chat {shown}   s2s evaluate {shown}")
        return 0
    training = config.training
    translator = load_translator(path, device=training.device, threads=training.threads)
    if not isinstance(corpus, Corpus):
        corpus = load_corpus(translator.config.data, stdin=folder.stdin)
    finish(folder, translator, corpus.test, corpus.valid, console)
    say(console, f"The model is in {path}. Try: s2s translate {shown}   s2s serve {shown}")
    return 0


def _memory() -> str:
    peak = peak_memory()
    return "" if peak is None else f" Peak memory {peak / 2**20:,.0f} MiB."


def config_text(words: Sequence[str]) -> str:
    """The whole configuration of a recipe or run as TOML."""
    inputs, extra = split_words(words)
    if len(inputs) != 1:
        raise UserError(f"expected one recipe or run, got {len(inputs)}: {' '.join(inputs)}")
    if Path(inputs[0]).is_dir():
        config, _ = RunFolder(Path(inputs[0])).read(extra)
        return dump(config)
    path = find_recipe(inputs[0])
    return dump(check(merge({"name": path.stem}, read_toml(path), extra), str(path)))


def _log_to(console: Console) -> None:
    """Say on the console what the package logs (which backend was chosen, for one)."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(console, record.getMessage())

    logger = logging.getLogger("s2s")
    logger.setLevel(logging.INFO)
    logger.handlers = [Handler()]
