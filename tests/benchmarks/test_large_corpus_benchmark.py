"""The benchmark of large corpora writes pairs that can be read, and its table says what a pair costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from s2s.corpus.read import read_pairs

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "large_corpus.py"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import large_corpus

    return large_corpus


def test_generated_pairs(benchmark, tmp_path: Path) -> None:
    benchmark.write_pairs(tmp_path / "pairs.tsv", 300)
    pairs = read_pairs([tmp_path / "pairs.tsv"]).pairs
    assert len(pairs) == 300
    lengths = [(len(source.split()), len(target.split())) for source, target in pairs]
    assert all(source == target in range(4, 17) for source, target in lengths)
    assert len({word for source, _ in pairs for word in source.split()}) > 500


def test_the_table(benchmark) -> None:
    rows = [
        benchmark.Row(50_000, 6_000_000, 8_000_000, 700_000_000, 500_000_000, 10.0, 5.0),
        benchmark.Row(5_050_000, 600_000_000, 800_000_000, 1_900_000_000, 700_000_000, 400.0, 6.0),
    ]
    assert benchmark.table(rows).splitlines()[-1] == "40 bytes of memory a pair, 119 bytes of text"


@pytest.mark.slow
def test_a_run_at_tiny_sizes(tmp_path: Path) -> None:
    sizes = ("--pairs", "3000", "--small", "1000", "--updates", "2")
    small = ("--set", "model.hidden_size=16", "--set", "model.embedding_size=16", "--set", "text.tokenizer=characters")
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, *sizes, *small], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "bytes of memory a pair" in done.stdout
