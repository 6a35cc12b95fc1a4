"""`s2s shortlist`, and answers among what it learned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, s2s, train

SOURCES = b"guten morgen\nich habe hunger\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("phrases") / "run"
    train(PHRASES, *SMALL, "training.epochs=1", "text.vocab_size=200", "-o", run)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_learned_and_used(run: Path) -> None:
    refused = s2s("translate", run, "search.shortlist=20", stdin=SOURCES)
    assert refused.code == 2
    assert "s2s shortlist" in refused.err
    learned = s2s("shortlist", run)
    assert learned.code == 0, learned.err
    assert "source tokens have candidates" in learned.err
    answered = s2s("translate", run, "search.shortlist=20", stdin=SOURCES)
    assert answered.code == 0, answered.err
    assert len(answered.out.splitlines()) == 2
    for keys in ([], ["search.shortlist=20"]):
        assert s2s("evaluate", run, *keys, "--bootstrap", "0").code == 0


def test_a_damaged_file(run: Path) -> None:
    assert s2s("shortlist", run).code == 0
    file = run / "shortlist.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    refused = s2s("translate", run, stdin=SOURCES)
    assert refused.code == 2
    assert "learn it anew" in refused.err
    assert s2s("shortlist", run).code == 0
    assert s2s("translate", run, stdin=SOURCES).code == 0


def test_too_many_candidates(run: Path) -> None:
    refused = s2s("translate", run, "search.shortlist=101", stdin=SOURCES)
    assert refused.code == 2
    assert "100" in refused.err


def test_no_run_and_no_translator(here: Path) -> None:
    refused = s2s("shortlist", here / "nothing")
    assert refused.code == 2
    assert "no such folder" in refused.err
    train("binary-addition", "training.updates=2", "training.plots=false", "-o", here / "sums")
    refused = s2s("shortlist", here / "sums")
    assert refused.code == 2
    assert "is no translator" in refused.err
