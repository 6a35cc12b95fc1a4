"""What a run leaves behind for its reader: test scores, pictures and a model card."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s import metrics, plots
from s2s.build.folder import RunFolder
from s2s.build.say import say
from s2s.config import Config
from s2s.corpus.read import Pair
from s2s.errors import MissingExtraError
from s2s.training.files import write_json, write_text
from s2s.translator import Translator


def evaluate(
    translator: Translator, pairs: Sequence[Pair], *, beam: int | None = None, batch_size: int | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Scores of a model on pairs, and its answers.

    Returns:
        `n`, `exact_match`, `bleu`, `chrf`, `ter`, `signature`, `signatures`, `beam`, `seconds`,
        `sentences_per_second`; and one answer a pair.
    """
    started = time.monotonic()
    answers = translator.translate([pair.source for pair in pairs], beam=beam, batch_size=batch_size)
    seconds = time.monotonic() - started
    texts = [answer[0].text for answer in answers]
    scores = metrics.text_scores(texts, [pair.target for pair in pairs])
    scores["beam"] = beam or translator.config.search.beam
    scores["seconds"] = round(seconds, 3)
    scores["sentences_per_second"] = round(len(pairs) / max(seconds, 1e-9), 1)
    return scores, texts


def finish(
    folder: RunFolder, translator: Translator, test: Sequence[Pair], valid: Sequence[Pair], console: Console
) -> None:
    """Score the test set, draw the pictures, write the model card."""
    config = translator.config
    scores: dict[str, Any] = {}
    if test:
        scores, _ = evaluate(translator, test)
        write_json(folder.scores, scores)
        say(console, f"test: {scores_line(scores)}")
    if config.training.plots:
        draw(folder, translator, test or valid, console)
    write_text(folder.card, model_card(translator, scores, _best(folder)))


def one_line(text: str) -> str:
    """N lines in, N lines out, whatever a model writes."""
    return text.replace("\r", " ").replace("\n", " ")


def scores_line(scores: Mapping[str, Any]) -> str:
    """Scores for people."""
    parts = [f"{scores['n']:,} pairs", f"exact match {100 * scores.get('exact_match', 0.0):.2f} %"]
    parts += [f"{label} {scores[name]:.2f}" for name, label in _LABELS if name in scores]
    parts.append(f"(beam {scores['beam']}, {scores['sentences_per_second']:,.0f} sentences/s)")
    return "  ".join(parts)


_LABELS = (("bleu", "BLEU"), ("chrf", "chrF"), ("ter", "TER"))


def draw(folder: RunFolder, translator: Translator, pairs: Sequence[Pair], console: Console) -> None:
    """Learning curve and attention maps into `RUN/plots/`; a missing matplotlib is said, not fatal."""
    try:
        rows = _lines(folder.metrics)
        metric = translator.config.training.metric
        plots.learning_curve(folder.plots / "learning-curve.png", rows, metric=metric, title=translator.name)
        for number, pair in enumerate(_examples(pairs), start=1):
            if alignment := translator.align(pair.source):
                plots.attention_map(folder.plots / f"attention-{number}.png", *alignment, title=translator.name)
        say(console, f"pictures: {folder.plots}")
    except MissingExtraError as missing:
        say(console, f"no pictures: {missing}")


def _examples(pairs: Sequence[Pair]) -> list[Pair]:
    """A few pairs of readable length: the longest sources of at most 60 characters among the first hundred."""
    short = [pair for pair in pairs[:100] if pair.source.strip() and len(pair.source) <= 60]
    return sorted(short, key=lambda pair: -len(pair.source))[:3]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _best(folder: RunFolder) -> dict[str, Any]:
    best = [row for row in _lines(folder.metrics) if row["event"] == "valid" and row.get("best")]
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
