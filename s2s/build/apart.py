"""`s2s evaluate` of runs that are scored on test examples of their own kind: sequence tasks, and dialogues."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2s.build.answers import load_predictor, scores_text, task_scores
from s2s.build.dialogues import holds_dialogues
from s2s.build.folder import RunFolder
from s2s.build.replies import SAMPLES, Asked
from s2s.build.spoken import load_and_score, spoken_text
from s2s.errors import UserError

if TYPE_CHECKING:
    from s2s.build.evaluate import Wanted


def is_task(run: Path) -> bool:
    """Whether a run answers a sequence task."""
    return bool(RunFolder(run).read()[0].data.task)


_TEXTS_ONLY = (
    "systems", "data", "to", "beam", "batch_size", "output", "bootstrap", "own", "tables", "report", "precision"
)  # fmt: skip
"""Words of `Wanted` that do nothing for sequence tasks."""


def evaluate_tasks(wanted: Wanted) -> tuple[dict[str, Any], str]:
    """Each run of a sequence task on the test examples of its own task."""
    if texts := [str(run) for run in wanted.runs if not is_task(run)]:
        raise UserError(f"{', '.join(texts)}: writes text, and the others answer sequence tasks; evaluate them apart")
    given = {key: getattr(wanted, key) for key in (*_TEXTS_ONLY, "vectors", "samples")}
    if idle := [key.replace("own", "metric").replace("_", "-") for key, value in given.items() if value]:
        raise UserError(
            f"runs of sequence tasks are scored on their own test examples: leave out --{', --'.join(idle)}"
        )
    if wanted.search:
        raise UserError("runs of sequence tasks do not search: leave out the keys of [search]")
    found = [{"run": str(run), **task_scores(load_predictor(run, device=wanted.device))} for run in wanted.runs]
    text = "\n\n".join(f"{scores['run']}\n{scores_text(scores)}" for scores in found)
    return found[0] if len(found) == 1 else {"systems": found}, text


def speaks(run: Path) -> bool:
    """Whether a run is of dialogues."""
    return holds_dialogues(RunFolder(run).read()[0])


def evaluate_dialogues(wanted: Wanted) -> tuple[dict[str, Any], str]:
    """Each run of dialogues on its own test dialogues."""
    if others := [str(run) for run in wanted.runs if not speaks(run)]:
        raise UserError(f"{', '.join(others)}: not of dialogues, and the others are; evaluate them apart")
    given = {key: getattr(wanted, key) for key in _TEXTS_ONLY if key != "beam"}
    if idle := [key.replace("own", "metric").replace("_", "-") for key, value in given.items() if value]:
        raise UserError(f"runs of dialogues are scored on their own test dialogues: leave out --{', --'.join(idle)}")
    search = {**wanted.search, **({"beam": wanted.beam} if wanted.beam else {})}
    asked = Asked(wanted.samples or SAMPLES, replies=None, search=search, vectors=wanted.vectors)
    found = [{"run": str(run), **load_and_score(run, asked, device=wanted.device)} for run in wanted.runs]
    text = "\n\n".join(f"{scores['run']}\n{spoken_text(scores)}" for scores in found)
    return found[0] if len(found) == 1 else {"systems": found}, text
