"""The benchmark of the server: its clients see wrong, refused and lost answers for what they are."""

from __future__ import annotations

import asyncio
import gzip
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> object:
    for folder in (ROOT / "benchmarks", ROOT / "tests" / "serve"):
        monkeypatch.syspath_prepend(folder)
    import serving

    return serving


def play(benchmark, expected: list[str], **settings: int):
    from serve_stub import Reversing
    from serve_tools import live

    from s2s.serve.app import Settings, create_app

    texts = benchmark.Texts(["a b", "c d"], expected, ("en", "de"))
    with live(create_app([Reversing()], Settings(**settings))) as url:
        port = int(url.rpartition(":")[2])
        return asyncio.run(benchmark.load_up(port, texts, clients=2, going=lambda number: number < 6))


def test_answers_are_compared(benchmark) -> None:
    tally = play(benchmark, ["b a", "no"])
    assert (dict(tally.statuses), tally.wrong, tally.unanswered) == ({200: 6}, 3, 0)
    assert tally.figures()["p50_ms"] > 0


def test_refusals_are_counted(benchmark) -> None:
    tally = play(benchmark, ["b a", "d c"], requests_per_minute=2)
    assert (dict(tally.statuses), tally.wrong, tally.without_retry_after) == ({200: 2, 429: 4}, 0, 0)


def test_nobody_there(benchmark) -> None:
    texts = benchmark.Texts(["a"], ["a"], ("en", "de"))
    tally = asyncio.run(benchmark.load_up(1, texts, clients=2, going=lambda number: number < 6))
    assert (dict(tally.statuses), tally.unanswered) == ({}, 2)


def test_what_it_reads_and_copies(benchmark, tmp_path: Path) -> None:
    (tmp_path / "texts.gz").write_bytes(gzip.compress("ä\nb\n".encode()))
    assert benchmark.read(tmp_path / "texts.gz") == ["ä", "b"]
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").write_text("[search]\nbeam = 5\nbeams = 5\n")
    other = benchmark.copy_of(run, 1, tmp_path)
    assert (other / "config.toml").read_text() == "[search]\nbeam = 1\nbeams = 5\n"
    assert [path.name for path in other.iterdir()] == ["config.toml"]
    assert sys.executable in benchmark.S2S
