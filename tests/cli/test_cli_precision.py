"""`training.precision = "int8"`: from pairs to a model that resumes exactly, is judged and answers anywhere."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from cli_tools import refused, s2s, train, weights

from s2s.kernels import switchback, vectors

WORDS = (
    "pairs.tsv",
    "text.tokenizer=words",
    "model.embedding_size=64",
    "model.hidden_size=64",
    "training.precision=int8",
    "training.threads=1",
    "training.batch_size=40",
    "training.checkpoint_every=10",
    "training.plots=false",
    "training.samples=0",
)
pytestmark = [
    pytest.mark.skipif(not vectors.multiplies_fours(), reason="no vectors of 8 bits here"),
    pytest.mark.usefixtures("pairs"),
]


@pytest.fixture
def pairs(here: Path) -> Path:
    """500 pairs of 300 words, each word with one translation."""
    draw = random.Random(1)
    lines = []
    for _ in range(500):
        words = [draw.randrange(300) for _ in range(draw.randint(4, 7))]
        lines.append(" ".join(f"w{word}" for word in words) + "\t" + " ".join(f"v{word}" for word in words))
    file = here / "pairs.tsv"
    file.write_text("\n".join(lines) + "\n")
    return file


def last_loss(run: Path) -> float:
    return float(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["loss"])


def test_a_run_in_8_bits_learns_and_resumes_exactly(here: Path) -> None:
    train(*WORDS, "-o", "whole", "training.updates=20")
    train(*WORDS, "-o", "halves", "training.updates=10")
    train("--resume", "halves", "training.updates=20")
    assert weights(here / "whole/model.safetensors") == weights(here / "halves/model.safetensors")
    train(*WORDS, "-o", "plain", "training.updates=20", "training.precision=bfloat16")
    assert last_loss(here / "whole") == pytest.approx(last_loss(here / "plain"), rel=0.02)
    assert weights(here / "whole/model.safetensors") != weights(here / "plain/model.safetensors")


def test_where_8_bits_are_not_to_be_had_a_run_is_refused_and_a_trained_one_is_not(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(*WORDS, "-o", "run", "training.updates=10")
    monkeypatch.setattr(vectors, "multiplies_fours", lambda: False)
    monkeypatch.setattr(switchback, "multiplies_fours", lambda: False)
    refused(s2s("train", *WORDS, "-o", "other", "training.updates=10"), "training.precision = 'int8'", "use auto")
    assert not (here / "other").exists()
    assert s2s("translate", "run", stdin=b"w1 w2 w3\n").code == 0
    assert s2s("evaluate", "run").code == 0
