"""Starting from the weights of a run with another way of training them, and from word vectors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from cli_tools import DATES, PHRASES, SMALL, refused, s2s, train, weights


def _config(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))


def test_other_dropouts_train_the_same_weights_on(dates: Path, here: Path) -> None:
    other = ("model.output_dropout=0.2", "model.encoder.word_dropout=0.1", "model.scheduled_sampling=0.1")
    train(*DATES, *other, "--init-from", dates, "training.epochs=1", "-o", "run")
    model = _config(here / "run")["model"]
    assert (model["output_dropout"], model["encoder"]["word_dropout"], model["word_dropout"]) == (0.2, 0.1, 0.0)
    train(*DATES, *other, "--init-from", dates, "training.epochs=0", "-o", "start")
    _, start = weights(here / "start/checkpoints/step-0/model.safetensors")
    assert start == weights(dates / "model.safetensors")[1]


def test_frozen_embeddings_keep_the_runs(dates: Path, here: Path) -> None:
    from safetensors.numpy import load_file

    train(*DATES, "model.freeze_embeddings=true", "--init-from", dates, "training.epochs=1", "-o", "run")
    before, after = (load_file(run / "model.safetensors") for run in (dates, here / "run"))
    changed = {name for name in before if (before[name] != after[name]).any()}
    embeddings = {name for name in before if "embedding" in name}
    assert len(embeddings) == 2
    assert changed
    assert not changed & embeddings


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.decoder.layers=2", "model.layers is 1, not 1 (encoder) and 2 (decoder)"),
        ("model.init=he", "model.init is 'xavier', not 'he'"),
    ],
)
def test_other_weights_are_refused(dates: Path, here: Path, word: str, said: str) -> None:
    result = s2s("train", *DATES, word, "--init-from", dates, "-o", "run")
    refused(result, f"--init-from {dates}: the weights fit only their own model", said, "Leave these keys")
    assert not (here / "run").exists()


def test_word_vectors_are_found_from_anywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "vectors.txt").write_text("." + " 0.5" * 16 + "\n")
    words = (*SMALL, "text.tokenizer=words", "model.tie=none", "text.shared=false", "training.epochs=0")
    train(PHRASES, "-o", "run", *words, "model.embeddings=vectors.txt")
    assert _config(here / "run")["model"]["embeddings"] == str(here / "vectors.txt")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert "vectors.txt: 1 vectors of 16" in train("../run/config.toml", "-o", "again").err
