"""A whole training run that takes a fraction of a second: a model, some pairs, and everything the loop needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tiny import tiny_model

from s2s import metrics
from s2s.corpus.batch import Batch, make_batch, plan_epoch
from s2s.corpus.examples import Example
from s2s.models import Seq2Seq, sequence_loss
from s2s.training.checkpoint import Checkpoints, Parts, save_weights
from s2s.training.processes import ALONE, Processes
from s2s.training.schedule import Schedule
from s2s.training.state import Progress, Run, Settings
from s2s.training.stop import Asked

EXAMPLES = [
    Example([3 + (i + j) % 4 for j in range(1 + i % 5)], [3 + (i * 3 + j) % 4 for j in range(i % 4)]) for i in range(22)
]
SETTINGS = Settings(
    epochs=None,
    updates=20,
    minutes=None,
    accumulate=1,
    clip_norm=1.0,
    ema=0.0,
    validate_every=None,
    checkpoint_every=None,
    metric="loss",
    patience=None,
    goal=None,
    goal_validations=1,
    precision="float32",
    divergence_factor=0.5,
    divergence_retries=3,
)


class Found(NamedTuple):
    scores: Mapping[str, float]


class Source:
    """Eight batches an epoch, in a new order each time."""

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        sizes = [len(example.source) for example in EXAMPLES], [len(example.target) for example in EXAMPLES]
        return plan_epoch(*sizes, size=3, tokens=None, seed=5, epoch=epoch)

    def batch(self, rows: Sequence[int], epoch: int) -> Batch:  # noqa: ARG002
        return make_batch([EXAMPLES[row] for row in rows], rows)


@dataclass
class Notes:
    """The log: everything it was told."""

    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    validations: list[tuple[int, bool]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    saves: int = 0

    def update(self, progress: Progress, *, loss: float, rate: float, norm: float, tokens: int) -> None:
        assert tokens > 0
        assert progress.update >= 1
        self.losses.append(loss)
        self.rates.append(rate)
        self.norms.append(norm)

    def validation(self, progress: Progress, validation: Any, *, best: bool) -> None:
        assert validation.scores
        self.validations.append((progress.update, best))

    def trouble(self, progress: Progress, event: str, text: str) -> None:
        assert progress.update >= 0
        assert event in ("out_of_memory", "diverged")
        self.troubles.append(text)

    def went_back(self, progress: Progress) -> None:
        self.losses, self.rates, self.norms = (
            notes[: progress.update] for notes in (self.losses, self.rates, self.norms)
        )

    def saved(self) -> None:
        self.saves += 1


class Miniature:
    """Fresh objects of one run in a folder; a second one in the same folder is what another process would build."""

    def __init__(
        self,
        folder: Path,
        *,
        optimizer: str = "adam",
        scores: Sequence[float] | None = None,
        interrupt_after: int | None = None,
        seed: int = 1,
        ema: bool = False,
        dropout: float = 0.3,
        processes: Processes = ALONE,
        **changes: Any,
    ) -> None:
        torch.manual_seed(seed)
        self.model: Seq2Seq = tiny_model("joey", layers=2, dropout=dropout, dtype=torch.float32).train()
        self.optimizer = _optimizer(optimizer, self.model)
        self.parts = Parts(self.model, self.optimizer, torch.amp.GradScaler("cpu", enabled=False))
        if ema:
            self.parts = replace(self.parts, ema=deepcopy(self.model).requires_grad_(False))
        self.notes = Notes()
        self.folder = folder
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=2, processes=processes)
        self.kept: list[int] = []
        self.asked = 0
        self._scores = scores
        self._interrupt_after = interrupt_after
        run = Run(
            parts=self.parts,
            device=torch.device("cpu"),
            objective=partial(sequence_loss, self.model, smoothing=0.1),
            source=Source(),
            schedule=Schedule("constant", 0.05),
            checkpoints=self.checkpoints,
            validate=self.validate,
            better=partial(metrics.better, "loss"),
            keep=self.keep,
            identity={"corpus": "x"},
            log=self.notes,
            interrupted=self.interrupted,
            processes=processes,
        )
        self.run = replace(run, **changes)

    def validate(self) -> Found:
        judged = self.parts.judged
        assert not judged.training
        self.asked += 1
        if self._scores is not None:
            # As a function of what was trained, so that a resumed run finds what it would have found.
            return Found({"loss": self._scores[min(self.run_updates(), len(self._scores) - 1)]})
        with torch.no_grad():
            loss = sequence_loss(judged, make_batch(EXAMPLES[:8], range(8)))  # type: ignore[arg-type]
        return Found({"loss": float(loss.nll) / loss.tokens})

    def run_updates(self) -> int:
        return self.progress.update

    progress = Progress()

    def keep(self, progress: Progress, scores: Mapping[str, float], *, best: bool) -> None:
        assert scores
        if not best:
            return
        self.kept.append(progress.update)
        save_weights(self.folder / "model.safetensors", self.parts.judged, {"update": str(progress.update)})

    def interrupted(self) -> Asked:
        due = self._interrupt_after is not None and self.progress.update >= self._interrupt_after
        return "interrupted" if due else ""

    def train(self, progress: Progress | None = None, **settings: Any) -> str:
        from s2s.training.loop import train

        self.progress = progress or Progress()
        return train(self.run, replace(SETTINGS, **settings), self.progress)

    def restore(self, checkpoint: Path | None = None) -> Progress:
        state = self.checkpoints.restore(checkpoint or self.checkpoints.latest(), self.parts)
        self.model.train()
        return Progress(**state["progress"])

    def state(self) -> dict[str, Any]:
        """Everything that must agree bit for bit, copied."""
        slots = self.optimizer.state_dict()["state"]
        return {
            "model": {name: tensor.clone() for name, tensor in self.model.state_dict().items()},
            "optimizer": {f"{i}.{k}": torch.as_tensor(v).clone() for i, s in slots.items() for k, v in s.items()},
            "random": torch.get_rng_state(),
            "ema": {name: tensor.clone() for name, tensor in self.parts.judged.state_dict().items()},
        }


def _optimizer(name: str, model: Seq2Seq) -> torch.optim.Optimizer:
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adam": lambda: torch.optim.Adam(model.parameters(), lr=0.1, fused=True),
        "adamw": lambda: torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1),
        "momentum": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.1),
    }
    return makers[name]()


def assert_identical(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Not a bit of difference."""
    assert set(left["model"]) == set(right["model"])
    assert set(left["optimizer"]) == set(right["optimizer"])
    for part in ("model", "optimizer", "ema"):
        for name, tensor in left[part].items():
            assert torch.equal(tensor, right[part][name]), (part, name)
    assert torch.equal(left["random"], right["random"])


def saved(folder: Path, *updates: int, keep: int = 2) -> tuple[Miniature, Checkpoints]:
    made = Miniature(folder)
    checkpoints = Checkpoints(folder / "checkpoints", keep=keep)
    for update in updates:
        checkpoints.save(update, made.parts, {"update": update})
    return made, checkpoints


def steps(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir() if path.name != "latest")
