"""`s2s plot`: pictures of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from s2s import plots
from s2s.build.answers import draw_task, load_predictor
from s2s.build.corpus import load_corpus
from s2s.build.folder import RunFolder
from s2s.build.load import load_translator
from s2s.build.looking import stack_panels
from s2s.build.report import draw
from s2s.build.say import say
from s2s.errors import UserError
from s2s.translator import Translator


def plot_verb(
    runs: Sequence[Path], console: Console, *, out: Path | None = None, row: int | None = None, text: str | None = None
) -> None:
    """Learning curve, attention maps, and states and gates over one sequence, into `RUN/plots` or under `out`.

    Args:
        runs: run directories.
        console: where it is said what was written.
        out: a folder; of several runs each gets one of its own name inside.
        row: number of the test example, of runs of a sequence task.
        text: the source, of runs that write texts; a few test sources if left out, and no states.

    Raises:
        UserError: not a run, a row that is no test example, an option of the other kind, or no matplotlib.
    """
    names = [run.resolve().name for run in runs]
    if out is not None and len(set(names)) < len(names):
        raise UserError(f"-o {out}: {', '.join(names)} would share a folder there; draw runs of one name apart")
    for run in runs:
        folder = RunFolder(run)
        place = folder.plots if out is None else out / run.resolve().name if len(runs) > 1 else out
        if folder.read()[0].data.task:
            _plot_task(run, place, console, row, text)
        else:
            _plot_text(run, place, console, row, text)


def _plot_task(run: Path, place: Path, console: Console, row: int | None, text: str | None) -> None:
    if text is not None:
        raise UserError(f"{run}: answers a sequence task and reads no text; choose a test example with --row")
    answering = load_predictor(run)
    rows = answering.task.splits.test
    if row is not None and not 0 <= row < len(rows):
        raise UserError(f"--row {row}: the task {answering.task.name} has the test examples 0 to {len(rows) - 1:,}")
    draw_task(answering, place, console, row=row)


def _plot_text(run: Path, place: Path, console: Console, row: int | None, text: str | None) -> None:
    if row is not None:
        raise UserError(f"{run}: writes texts; give it one with --text, --row is of sequence tasks")
    folder, translator = RunFolder(run), load_translator(run)
    if text is None:
        corpus = load_corpus(translator.config.data, stdin=folder.stdin)
        draw(folder, translator, corpus.test or corpus.valid, console, place=place)
        return
    if not text.strip():
        raise UserError("--text: got only blanks, expected a sentence")
    metric = translator.config.training.metric
    plots.learning_curve(place / "learning-curve.png", folder.log_lines(), metric=metric, title=translator.name)
    if alignment := translator.align(text):
        plots.attention_map(place / "attention-text.png", *alignment, title=translator.name)
    _encoder_states(translator, text, place)
    say(console, f"pictures: {place}")


@torch.no_grad()
def _encoder_states(translator: Translator, text: str, place: Path) -> None:
    """What the encoder does over the pieces of a source."""
    ids = translator.source.encode(text)
    if translator.config.model.reverse_source:
        ids = ids[::-1]
    encoder = translator.model.encoder
    panels = stack_panels(encoder.stack, encoder.embedding(torch.tensor([ids], device=translator.device)))
    for name, maps in panels:
        steps = translator.source.pieces(ids)
        path = place / f"states-encoder-{name}.png"
        plots.state_map(path, maps, steps=steps, title=f"{translator.name}, encoder", sort=True)
