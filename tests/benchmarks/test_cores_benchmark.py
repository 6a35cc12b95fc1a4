"""The benchmark of the cores runs, writes what a figure needs, and reports nothing where a result is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "cores.py"
TINY = ("--repeats", "1", "--seconds", "0")

SPOILED = """
import runpy, sys
from s2s.cores import RWA
right = RWA.layer_weights
RWA.layer_weights = lambda self: (1.001 * right(self)[0], *right(self)[1:])
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=280)


def test_a_run_at_tiny_sizes(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = run(SCRIPT, *TINY, "--shapes", "5,2,3,4", "--cores", "rwa sru-last", "--table", "--output", out)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert {"date", "commit", "processor", "cores", "instructions", "python", "torch", "system"} <= result.keys()
    assert (result["threads"], result["setting"]["device"]) == (1, "cpu")
    rows = {(tuple(row["shape"]), row["core"]): row for row in result["rows"]}
    own, wide = (5, 2, 3, 200), (5, 2, 200, 200)
    cores = {(5, 2, 3, 4): "rwa", own: "sru-last", wide: "sru-last"}
    assert set(rows) == {(shape, name) for shape, core in cores.items() for name in ("nn.LSTM", "nn.GRU", core)}
    for row in rows.values():
        assert row["forward"] > 0
        assert row["training"] > 0
        assert (row["rounds"], row["precision"], row["training_to_float32"]) == (1, "float32", None)
        assert row["memory"] is None or row["memory"] >= 0
    assert rows[own, "nn.LSTM"]["training_to_lstm"] == rows[own, "nn.LSTM"]["floor"] == 1.0
    assert rows[(5, 2, 3, 4), "rwa"]["floor"] == pytest.approx((2 * 16 + 3 * 12) / (4 * 28))
    assert rows[wide, "sru-last"]["floor"] == pytest.approx((200 * 200 + 6 * 12000) / (4 * 200 * 400))
    assert done.stdout.count("| T 5, B 2, I ") == 3


def test_both_precisions_and_long_sequences(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ("--precision", "both", "--shapes", "3,2,3,4", "--cores", "elman", "--output", out)
    done = run(SCRIPT, *TINY, *words)
    assert done.returncode == 0, done.stderr
    factors = {
        (row["core"], row["precision"]): row["training_to_float32"] for row in json.loads(out.read_text())["rows"]
    }
    assert factors["elman", "bfloat16"] > 0
    assert factors["elman", "float32"] is None
    done = run(SCRIPT, *TINY, *words, "--linear")
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["rows"] == []
    assert set(result["long"]["bfloat16"]["elman"]) == {"1000", "4000", "ratio"}


def test_no_time_for_a_wrong_result(tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.py"
    spoiled.write_text(SPOILED)
    done = run(spoiled, SCRIPT, *TINY, "--shapes", "3,2,3,4", "--cores", "rwa", "--output", tmp_path / "result.json")
    assert done.returncode == 1
    assert "No times" in done.stdout
    assert "rwa, float32, (7, 5, 3, 5): the output is off" in done.stdout
    assert not (tmp_path / "result.json").exists()


def test_an_unknown_backend_is_refused() -> None:
    done = run(SCRIPT, "--backend", "fastest")
    assert done.returncode == 2
    assert "no such backend" in done.stderr
