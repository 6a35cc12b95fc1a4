"""The gradient's norm by distance in time, of a run of a sequence task: as its model began, and as it was trained."""

from __future__ import annotations

import copy
import math

import torch

from s2s.build.predictor import build_predictor
from s2s.config import Config
from s2s.models import Predictor
from s2s.models.predictor import PredictorLoss
from s2s.models.reach import gradient_by_distance
from s2s.tasks import Task
from s2s.tasks.batch import series_batch

Reach = dict[str, list[tuple[int, float]]]
"""`fresh` and `trained`: steps between what the model reads and its last answer, and the norm."""

_ROWS = 64
_NEAR = 16
"""Distances that are all told; beyond, each is about a fifth farther than the last."""


def reach(config: Config, task: Task, trained: Predictor, loss: PredictorLoss) -> Reach:
    """Means over the first test examples, in float32 on the CPU, where they are numbers; `fresh` are weights drawn with
    the run's seed."""
    rows = task.splits.test[:_ROWS]
    batch = series_batch(task.draw(rows, 0), rows, each_step=task.each_step)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        fresh = build_predictor(config.model, task)
    models = {"fresh": fresh.eval(), "trained": copy.deepcopy(trained).cpu()}
    found: Reach = {}
    for name, model in models.items():
        norm_T = gradient_by_distance(model, batch, loss=loss)[0].tolist()
        found[name] = [(one, norm_T[one]) for one in _told(len(norm_T)) if math.isfinite(norm_T[one])]
    return found


def _told(steps: int) -> list[int]:
    """Some of the distances 0 to steps - 1, the first and the last among them."""
    found = list(range(min(steps, _NEAR)))
    while found and found[-1] < steps - 1:
        found.append(min(steps - 1, round(found[-1] * 1.2)))
    return found
