"""What a run leaves behind for its reader: test scores, pictures and a model card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s import metrics, plots
from s2s.build.folder import RunFolder
from s2s.build.likelihood import likelihood
from s2s.build.say import drawn_if_possible, say
from s2s.config import Config
from s2s.corpus.read import Pair
from s2s.errors import MissingExtraError
from s2s.evaluation import Evaluation, Picture, Table
from s2s.evaluation.pages import html, markdown
from s2s.evaluation.pictures import pictures
from s2s.metrics.sampling import Sampling
from s2s.training.files import write_atomically, write_json, write_text
from s2s.translator import Alignment, Translator


def answer(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    beam: int | None = None,
    batch_size: int | None = None,
    search: Mapping[str, Any] | None = None,
) -> tuple[list[str], dict[str, Any]]:
    """A model's answers, one a pair, and what else is known of them.

    Returns:
        The answers; and `likelihood` of the references, `beam`, `seconds`, `sentences_per_second`, and `search` where
        keys of it were given.
    """
    started = time.monotonic()
    answers = translator.translate([pair.source for pair in pairs], beam=beam, batch_size=batch_size, search=search)
    seconds = time.monotonic() - started
    scores = likelihood(translator, pairs, batch_size=batch_size)
    scores["beam"] = beam or (search or {}).get("beam", translator.config.search.beam)
    if search:
        scores["search"] = dict(search)
    scores["seconds"] = round(seconds, 3)
    scores["sentences_per_second"] = round(len(pairs) / max(seconds, 1e-9), 1)
    return [found[0].text for found in answers], scores


def finish(
    folder: RunFolder, translator: Translator, test: Sequence[Pair], valid: Sequence[Pair], console: Console
) -> None:
    """Score the test set, draw the pictures, write the model card."""
    training = translator.config.training
    scores: dict[str, Any] = {}
    if test and training.final_test:
        texts, more = answer(translator, test)
        scores = {**metrics.text_scores(texts, [pair.target for pair in test], sampling=Sampling()), **more}
        write_json(folder.scores, scores)
        say(console, f"test: {scores_line(scores)}")
    if training.plots:
        drawn_if_possible(partial(draw, folder, translator, test or valid, console), console)
    write_text(folder.card, model_card(translator, scores, _best(folder)))


def one_line(text: str, *, tabs: bool = True) -> str:
    """N lines in, N lines out, whatever a model writes; without tabs where these would make two turns of one."""
    text = text.replace("\r", " ").replace("\n", " ")
    return text if tabs else text.replace("\t", " ")


def scores_line(scores: Mapping[str, Any]) -> str:
    """Scores for people."""
    parts = [f"{scores['n']:,} pairs", f"exact match {100 * scores.get('exact_match', 0.0):.2f} %"]
    for name, label in _LABELS:
        if name in scores:
            interval = scores.get("intervals", {}).get(name)
            parts.append(f"{label} {scores[name]:.2f}" + (f" ± {interval['half']:.2f}" if interval else ""))
    parts.append(f"(beam {scores['beam']}, {scores['sentences_per_second']:,.0f} sentences/s)")
    return "  ".join(parts)


_LABELS = (("bleu", "BLEU"), ("chrf", "chrF"), ("ter", "TER"))


def draw(
    folder: RunFolder, translator: Translator, pairs: Sequence[Pair], console: Console, *, place: Path | None = None
) -> None:
    """Learning curve and attention maps into `RUN/plots/` or `place`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    place = folder.plots if place is None else place
    rows, alignments = drawings(folder, translator, pairs)
    metric = translator.config.training.metric
    plots.learning_curve(place / "learning-curve.png", rows, metric=metric, title=translator.name)
    for number, alignment in enumerate(alignments, start=1):
        plots.attention_map(place / f"attention-{number}.png", *alignment, title=translator.name)
    say(console, f"pictures: {place}")


def drawings(
    folder: RunFolder, translator: Translator, pairs: Sequence[Pair]
) -> tuple[list[dict[str, Any]], list[Alignment]]:
    """What the pictures of a run are drawn from: lines of its log, and the attention of a few sentences."""
    found = [translator.align(pair.source) for pair in _examples(pairs)]
    return folder.log_lines(), [alignment for alignment in found if alignment]


def write_report(
    folder: Path, evaluation: Evaluation, tables: Sequence[Table], value: Mapping[str, Any], console: Console
) -> None:
    """`report.md` with pictures beside it, `report.html` that needs nothing else, and `report.json`."""
    drawn: list[Picture] = []
    try:
        drawn = pictures(evaluation)
    except MissingExtraError as missing:
        say(console, f"no pictures: {missing}")
    folder.mkdir(parents=True, exist_ok=True)
    for picture in drawn:
        write_atomically(folder / picture.name, partial(_write_bytes, picture.png))
    write_json(folder / "report.json", value)
    write_text(folder / "report.md", markdown(evaluation, tables, drawn))
    write_text(folder / "report.html", html(evaluation, tables, drawn))
    say(console, f"report: {folder / 'report.html'}")


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _examples(pairs: Sequence[Pair]) -> list[Pair]:
    """A few pairs of readable length: the longest sources of at most 60 characters among the first hundred."""
    short = [pair for pair in pairs[:100] if pair.source.strip() and len(pair.source) <= 60]
    return sorted(short, key=lambda pair: -len(pair.source))[:3]


def _best(folder: RunFolder) -> dict[str, Any]:
    best = [row for row in folder.log_lines() if row["event"] == "valid" and row.get("best")]
    return best[-1] if best else {}


def model_card(translator: Translator, scores: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The model in words: what it is, what it scored and how to use it (Markdown)."""
    config: Config = translator.config
    parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    lines = [
        f"# {translator.name}",
        "",
        f"A recurrent sequence-to-sequence model from `{translator.source_lang}` to `{translator.target_lang}`,"
        " made with s2s.",
        "",
        f"- data: {config.data.corpus or ', '.join(config.data.train)}",
        f"- model: {config.model.core}, attention {config.model.attention}, {parameters:,} parameters",
        f"- text: {config.text.tokenizer}, vocabularies of {len(translator.source.vocabulary):,} and"
        f" {len(translator.target.vocabulary):,}",
    ]
    if best:
        lines.append(
            f"- best validation: update {best['step']:,}, epoch {best['epoch']}, after {best['seconds']:.0f} s:"
            f" {config.training.metric} {best.get(config.training.metric, float('nan')):.4f}"
        )
    if scores:
        lines += ["", "## Test scores", "", f"{scores_line(scores)}", ""]
        lines += [f"- {name}: `{signature}`" for name, signature in scores.get("signatures", {}).items()]
    lines += [
        "",
        "## Use",
        "",
        "RUN is this folder.",
        "",
        "```",
        "s2s translate RUN < in > out",
        "s2s serve RUN",
        "```",
        "",
    ]
    return "\n".join(lines)
