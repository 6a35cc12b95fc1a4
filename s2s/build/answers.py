"""What a run of a sequence task leaves behind: test scores, accuracy by length, pictures and a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from s2s import plots
from s2s.build.folder import RunFolder
from s2s.build.looking import draw_states
from s2s.build.predicting import check_task, task_hash
from s2s.build.predictor import Judge, Judged, build_predictor, build_task, choose_loss, judging_size
from s2s.build.reach import Reach, reach
from s2s.build.say import drawn_if_possible, say
from s2s.config import Config
from s2s.models import Predictor
from s2s.tasks import Task
from s2s.training.checkpoint import load_weights
from s2s.training.files import write_json, write_text
from s2s.training.hardware import judging_precision, pick_device, set_threads

_PARTS = 20
"""Of all lengths; a part in which something is wrong is told in as many smaller ones as `_FINER`."""
_FINER = 5
_MOST_WHOLE = 20_000
"""Examples up to which all that there are of a task are scored."""


@dataclass(frozen=True)
class Answering:
    """The best model of a run of a sequence task, ready to be judged."""

    folder: RunFolder
    config: Config
    task: Task
    model: Predictor
    judge: Judge


def load_predictor(
    path: Path, *, device: Literal["auto", "cpu", "cuda", "mps"] = "auto", threads: int | None = None
) -> Answering:
    """The best model of a run.

    Raises:
        UserError: the folder is no run, or its parts are missing, damaged or don't belong together.
    """
    folder = RunFolder(path)
    config, about = folder.read()
    task = build_task(config.data)
    belongs = task_hash(task)
    check_task(about, belongs, task, folder)
    set_threads(threads)
    place = pick_device(device)
    model = build_predictor(config.model, task)
    check_task(load_weights(folder.weights, model), belongs, task, folder)
    size = judging_size(config.training, task)
    precision = judging_precision(config.training.precision, place)
    judge = Judge(task, choose_loss(config.training, task), place, precision, size)
    return Answering(folder, config, task, model.to(place).eval(), judge)


def task_scores(run: Answering) -> dict[str, Any]:
    """Of the test rows, and of all rows of a task that has no others; by length where lengths differ."""
    judged = run.judge(run.model, run.task.splits.test[: run.config.data.test_size])
    scores: dict[str, Any] = {"task": run.task.name, "n": len(judged.right_N), **judged.scores()}
    if len(set(judged.lengths_N.tolist())) > 1:
        scores["by_length"] = by_length(judged)
    if run.task.splits.whole is not None and len(run.task.splits.whole) <= _MOST_WHOLE:
        whole = run.judge(run.model, run.task.splits.whole)
        scores["whole"] = {"n": len(whole.right_N), **whole.scores()}
    return scores


def by_length(judged: Judged) -> list[dict[str, Any]]:
    """Examples and share of wholly right ones in ranges of lengths, finer where not all are right."""
    longest = int(judged.lengths_N.max())
    width = max(1, -(-longest // _PARTS))
    rows = []
    for first in range(1, longest + 1, width):
        row = _range(judged, first, first + width)
        fine = max(1, width // _FINER)
        wrong = row["n"] and row["exact_match"] < 1 and fine < width
        rows += (
            [_range(judged, at, min(at + fine, first + width)) for at in range(first, first + width, fine)]
            if wrong
            else [row]
        )
    return [row for row in rows if row["n"]]


def _range(judged: Judged, first: int, end: int) -> dict[str, Any]:
    inside = (judged.lengths_N >= first) & (judged.lengths_N < end)
    count = int(inside.sum())
    right = float(judged.right_N[inside].mean()) if count else 0.0
    return {"from": first, "to": end - 1, "n": count, "exact_match": right}


def scores_text(scores: Mapping[str, Any]) -> str:
    """Scores for people."""
    lines = [f"test: {_line(scores)}"]
    if "whole" in scores:
        lines.append(f"all there are: {_line(scores['whole'])}")
    if "by_length" in scores:
        lines += ["", f"{'length':>13}  {'examples':>8}  all right"]
        for row in scores["by_length"]:
            lines.append(f"{row['from']:>6} - {row['to']:>4}  {row['n']:>8,}  {100 * row['exact_match']:.2f} %")
    return "\n".join(lines)


def _line(scores: Mapping[str, Any]) -> str:
    answers, whole = 100 * scores["token_accuracy"], 100 * scores["exact_match"]
    return (
        f"{scores['n']:,} examples  loss {scores['loss']:.6f}  answers right {answers:.2f} %  all right {whole:.2f} %"
    )


def finish_task(path: Path, console: Console) -> None:
    """Score the test examples, draw the pictures, write the card."""
    training = RunFolder(path).read()[0].training
    run = load_predictor(path, device=training.device, threads=training.threads)
    scores: dict[str, Any] = {}
    if training.final_test:
        scores = {**task_scores(run), "gradient": gradient_of(run)}
        write_json(run.folder.scores, scores)
        say(console, scores_text(scores))
    if training.plots:
        drawing = partial(draw_task, run, run.folder.plots, console, gradient=scores.get("gradient"))
        drawn_if_possible(drawing, console)
    write_text(run.folder.card, _card(run, scores))


def gradient_of(run: Answering) -> Reach:
    """The gradient's norm by distance in time."""
    return reach(run.config, run.task, run.model, run.judge.loss)


def draw_task(
    run: Answering, folder: Path, console: Console, *, row: int | None = None, gradient: Reach | None = None
) -> None:
    """Learning curve, how far the gradient reaches, and states and gates over a test example (of this number).

    `gradient`: of the run, if it is known already.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    title = run.config.name or run.folder.path.resolve().name
    rows = run.folder.log_lines()
    unit = "squared error" if run.judge.loss == "mse" else "nats an answer"
    plots.learning_curve(folder / "learning-curve.png", rows, metric="exact_match", title=title, unit=unit)
    plots.gradient_reach(folder / "gradient.png", gradient or gradient_of(run), title=title)
    shown = telling_row(run.task) if row is None else run.task.splits.test[row]
    draw_states(run.model, run.task, folder, row=shown, title=title, mark="" if row is None else f"-{row}")
    say(console, f"pictures: {folder}")


def telling_row(task: Task) -> int:
    """A test example in which most of the task's events happen, the longest of the first hundred such."""
    rows = task.splits.test[:100]
    series = task.draw(rows, 0)
    happened = sum(((steps >= 0).astype(np.int64) for steps in series.events.values()), np.zeros(len(rows), np.int64))
    return int(rows[int(np.lexsort((-series.lengths, -happened))[0])])


def _card(run: Answering, scores: Mapping[str, Any]) -> str:
    """The model in words (Markdown)."""
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    lines = [
        f"# {run.config.name or run.folder.path.resolve().name}",
        "",
        f"A recurrent predictor for the sequence task `{run.task.name}`, made with s2s.",
        "",
        f"- task: {run.task.note}",
        f"- model: {run.config.model.core}, {run.config.model.layers} layer(s) of"
        f" {run.config.model.hidden_size}, {parameters:,} parameters",
        "",
    ]
    if scores:
        lines += ["## Test scores", "", "```", scores_text(scores), "```", ""]
    return "\n".join(lines)
