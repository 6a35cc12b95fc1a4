"""The moving average of the weights: its formula, what it is used for, and that it goes on exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from miniature import Miniature, assert_identical

from s2s.training.checkpoint import load_weights


@pytest.mark.parametrize("stop", [1, 10])
def test_resuming_is_bit_identical_with_a_moving_average(stop: int, tmp_path: Path) -> None:
    rules = {"accumulate": 2, "ema": 0.9}
    whole = Miniature(tmp_path / "whole", ema=True)
    whole.train(updates=20, **rules)
    first = Miniature(tmp_path / "halves", ema=True, interrupt_after=stop)
    first.train(updates=20, **rules)
    second = Miniature(tmp_path / "halves", ema=True, seed=77)
    second.train(second.restore(), updates=20, **rules)
    assert_identical(second.state(), whole.state())
    assert {**asdict(second.progress), "seconds": 0} == {**asdict(whole.progress), "seconds": 0}
    assert not torch.equal(whole.state()["ema"]["output.weight"], whole.state()["model"]["output.weight"])


def test_the_moving_average_follows_the_weights(tmp_path: Path) -> None:
    """Against the formula in float64, warm-up included: 2/11, 3/12, ... until the decay."""
    made = Miniature(tmp_path, ema=True)
    weights = [made.state()["model"]]
    made.train(updates=0)
    for update in range(1, 13):
        made.train(made.progress, updates=update, ema=0.4, validate_every=100)
        weights.append(made.state()["model"])
    for name in ("output.weight", "encoder.embedding.table.weight"):
        mean = weights[0][name].double()
        for update in range(1, 13):
            decay = min(0.4, (1 + update) / (10 + update))
            mean = decay * mean + (1 - decay) * weights[update][name].double()
        torch.testing.assert_close(made.state()["ema"][name].double(), mean, rtol=1e-5, atol=1e-6)


def test_the_moving_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    made = Miniature(tmp_path, ema=True)
    made.train(updates=3, ema=0.5, validate_every=3)
    kept = Miniature(tmp_path, seed=5).model
    load_weights(tmp_path / "model.safetensors", kept)
    for name, tensor in kept.state_dict().items():
        assert torch.equal(tensor, made.state()["ema"][name]), name
    assert not torch.equal(kept.output.weight, made.model.output.weight)


def test_a_moving_average_may_be_switched_on_and_off(tmp_path: Path) -> None:
    Miniature(tmp_path).train(updates=5)
    made = Miniature(tmp_path, ema=True, seed=7)
    progress = made.restore()
    for name, tensor in made.state()["ema"].items():
        assert torch.equal(tensor, made.state()["model"][name]), name  # it begins with the weights of the checkpoint
    made.train(progress, updates=8, ema=0.5)
    assert (made.checkpoints.latest() / "ema.safetensors").is_file()
    made = Miniature(tmp_path, seed=8)
    made.train(made.restore(), updates=9)
    assert not (made.checkpoints.latest() / "ema.safetensors").exists()
