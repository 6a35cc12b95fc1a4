"""What several processes find when they train together: started by torchrun, one line of JSON a process.

    torchrun --nproc-per-node N several.py FOLDER

Each story is a function of the processes and a folder; `tests/training/test_processes.py` tells it in one process too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from miniature import Miniature, Source

from s2s.corpus.batch import Batch
from s2s.models import Loss, sequence_loss
from s2s.training.processes import Processes, joined
from s2s.training.stop import Asked

# The third batch has a row for the first process alone, the fourth's rows are of very different lengths.
PLAN = [[0, 4, 7, 3, 12], [9, 18], [21], [2, 19, 5, 14, 8], [1, 6, 11], [10], [13, 15], [16, 17, 20]]


class Plan(Source):
    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        return PLAN[epoch % 3 :] + PLAN[: epoch % 3]


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with joined() as processes:
        found = {name: story(processes, folder / name) for name, story in STORIES.items()}
        (folder / f"{processes.rank}.json").write_text(json.dumps(found))


def exact(processes: Processes, folder: Path, **options: Any) -> Miniature:
    """In float64 and without dropout, so that two ways to one gradient agree."""
    options = {"source": Plan(), "optimizer": "momentum", "dropout": 0.0, **options}
    made = Miniature(folder, processes=processes, **options)
    made.model.double()
    made.run = replace(made.run, objective=partial(sequence_loss, made.model, smoothing=0.1))
    # Validation is the mean of the weights, so that it costs nothing and depends on all of them.
    made.run = replace(made.run, validate=lambda: Scores({"loss": weights(made)[0]}))
    return made


class Scores:
    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores


def weights(made: Miniature) -> list[float]:
    """The mean first, then every weight."""
    flat = torch.cat([weight.detach().flatten() for weight in made.parts.judged.parameters()]).double()
    return [float(flat.mean()), *flat.tolist()]


def told(made: Miniature, **more: Any) -> dict[str, Any]:
    """What a process knows at the end."""
    progress = {name: getattr(made.progress, name) for name in ("update", "epoch", "batch", "tokens", "divergences")}
    return {
        "weights": weights(made),
        "losses": made.notes.losses,
        "norms": made.notes.norms,
        "progress": progress,
        "validated": made.notes.validations,
        "kept": made.kept,
        **more,
    }


def plain(processes: Processes, folder: Path) -> dict[str, Any]:
    made = exact(processes, folder)
    made.train(updates=11)
    return told(made)


def accumulated(processes: Processes, folder: Path) -> dict[str, Any]:
    made = exact(processes, folder, ema=True)
    made.parts.judged.double()
    made.train(updates=7, accumulate=3, ema=0.9)
    return told(made)


def unused(processes: Processes, folder: Path) -> dict[str, Any]:
    """One weight that nobody uses must not decay, one that only a batch of the first process uses must move."""
    made = exact(processes, folder, optimizer="adamw")
    model, loss = made.model, made.run.objective
    idle, rare = (torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
    model.register_parameter("idle", idle)
    model.register_parameter("rare", rare)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    parts = replace(made.parts, optimizer=optimizer)

    def objective(batch: Batch) -> Loss:
        found = loss(batch)
        return found._replace(total=found.total + rare.sum()) if 21 in batch.rows else found

    made.run = replace(made.run, parts=parts, objective=objective)
    made.train(updates=4)
    return told(made, idle=idle.tolist(), rare=rare.tolist(), without=idle.grad is None)


def out_of_memory(processes: Processes, folder: Path) -> dict[str, Any]:
    """The last process has room for a single row, in a backward that fails when half of it is done."""
    made = exact(processes, folder)
    loss, table = made.run.objective, made.model.encoder.embedding.table.weight

    def fail(grad: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    def objective(batch: Batch) -> Loss:
        table._backward_hooks = None
        found = loss(batch)
        if processes.rank == 1 and len(batch.rows) > 1:
            table.register_hook(fail)
        return found

    made.run = replace(made.run, objective=objective)
    made.train(updates=6, accumulate=2)
    return told(made, splits=made.progress.splits)


def diverged(processes: Processes, folder: Path) -> dict[str, Any]:
    """A loss that is no number, in the last process alone and once."""
    made = exact(processes, folder)
    loss, left = made.run.objective, [1]

    def objective(batch: Batch) -> Loss:
        found = loss(batch)
        if processes.rank == processes.size - 1 and made.progress.update == 7 and left:
            left.pop()
            return found._replace(total=found.total * float("nan"))
        return found

    made.run = replace(made.run, objective=objective)
    made.train(updates=9, checkpoint_every=4)
    return told(made)


def stopped(processes: Processes, folder: Path) -> dict[str, Any]:
    """The last process is asked to stop after update 5."""
    made = exact(processes, folder)

    def asked() -> Asked:
        return "terminated" if processes.rank == processes.size - 1 and made.progress.update >= 5 else ""

    made.run = replace(made.run, interrupted=asked)
    end = made.train(updates=50)
    return told(made, end=end, saved=made.checkpoints.steps())


def resumed(processes: Processes, folder: Path) -> dict[str, Any]:
    """With dropout: once whole, once cut after update 9, both to update 16."""
    whole = Miniature(folder / "whole", processes=processes)
    processes.own_generators(1)
    whole.train(updates=16)
    first = Miniature(folder / "halves", processes=processes)
    processes.own_generators(1)
    first.train(updates=9)
    second = Miniature(folder / "halves", processes=processes, seed=99)
    second.train(second.restore(), updates=16)
    return {"whole": told(whole), "halves": told(second), "random": float(torch.rand(()))}


STORIES: dict[str, Callable[[Processes, Path], dict[str, Any]]] = {
    story.__name__: story for story in (plain, accumulated, unused, out_of_memory, diverged, stopped, resumed)
}

if __name__ == "__main__":
    main()
