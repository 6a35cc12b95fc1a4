"""What date conversion is compared with is no straw man: NumPy's gradients are right, and it learns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from peers import dates_numpy  # type: ignore[import-not-found]

    monkeypatch.setattr(dates_numpy, "HIDDEN", 5)
    monkeypatch.setattr(dates_numpy, "WIDTH", 3)
    return dates_numpy


def test_gradients_in_numpy(by_hand) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    weights = {name: own + 0.3 * rng.standard_normal(own.shape) for name, own in by_hand.start(rng, 11).items()}
    source, target = rng.integers(0, 11, (4, 6)), rng.integers(0, 11, (4, 5))
    _, gradients = by_hand.learn(weights, source, target)
    for name, own in weights.items():
        place = tuple(rng.integers(0, size) for size in own.shape)
        losses = []
        for step in (1e-3, -2e-3):
            own[place] += step
            losses.append(by_hand.learn(weights, source, target)[0])
        own[place] += 1e-3
        # The states are kept in single precision, as in the measurement.
        assert gradients[name][place] == pytest.approx((losses[0] - losses[1]) / 2e-3, abs=3e-4), name


def test_it_learns_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"{n:02d}\t{n:02d}\n" for n in range(100)) * 20)
    command = [sys.executable, "-m", "peers.dates_numpy", pairs, "--test", pairs, "--epochs", "8", "--answers", "5"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=BENCHMARKS, timeout=200)
    found = json.loads(done.stdout)
    assert found["loss"][-1] < 0.8 * found["loss"][0]
    assert len(found["seconds"]) == 8
    assert found["an_answer"] > 0
