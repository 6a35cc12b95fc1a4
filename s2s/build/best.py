"""The best models of a run: `model.safetensors`, and with `training.keep_best` above 1 the best few beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from s2s import metrics
from s2s.build.folder import RunFolder
from s2s.training.checkpoint import save_weights
from s2s.training.files import write_json
from s2s.training.state import Progress


@dataclass(frozen=True)
class Keeper:
    """Writes the models of a run that are worth keeping.

    Attributes:
        folder: the run.
        model: what is validated.
        vocabulary: hash of the run's vocabularies, which the weights belong to.
        metric: decides; between equals the loss, then the earlier update.
        count: how many are kept; with 1 there is only `model.safetensors`.
    """

    folder: RunFolder
    model: nn.Module
    vocabulary: str
    metric: str
    count: int

    def __call__(self, progress: Progress, scores: Mapping[str, float], *, best: bool) -> None:
        """After each validation, with its scores."""
        if best:
            self.write(self.folder.weights, progress, scores)
        if self.count > 1 and math.isfinite(scores[self.metric]):
            self._rank_in(progress, scores)

    def write(self, path: Path, progress: Progress, scores: Mapping[str, float]) -> None:
        """The model as it is now, with its scores."""
        metadata = {"vocabulary": self.vocabulary, "update": str(progress.update)}
        metadata |= {name: f"{value:.6g}" for name, value in scores.items()}
        save_weights(path, self.model, metadata)

    def _rank_in(self, progress: Progress, scores: Mapping[str, float]) -> None:
        """Weights first, then the manifest, then what it does not name goes: a killed process leaves a whole list."""
        others = [row for row in best_models(self.folder) if row["update"] != progress.update]
        new = {"update": progress.update, "epoch": progress.epoch, "scores": dict(scores)}
        rows = sorted([*others, new], key=self._rank)[: self.count]
        if new not in rows:
            return
        self.folder.best.mkdir(exist_ok=True)
        self.write(weights_of(self.folder, progress.update), progress, scores)
        write_json(self.folder.best / "manifest.json", rows)
        kept = {weights_of(self.folder, row["update"]) for row in rows}
        for path in set(self.folder.best.glob("step-*.safetensors")) - kept:
            path.unlink(missing_ok=True)

    def _rank(self, row: Mapping[str, Any]) -> tuple[float, float, int]:
        sign = 1 if self.metric in metrics.LOWER_IS_BETTER else -1
        value = row["scores"].get(self.metric, sign * math.inf)
        return sign * value, row["scores"].get("loss", math.inf), row["update"]


def best_models(folder: RunFolder) -> list[dict[str, Any]]:
    """`update`, `epoch` and `scores` of the models in `RUN/best/`, the best first."""
    try:
        rows: list[dict[str, Any]] = json.loads((folder.best / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return rows


def weights_of(folder: RunFolder, update: int) -> Path:
    """Where the weights after an update are, if it is one of the best."""
    return folder.best / f"step-{update}.safetensors"
