"""Every option of the model trains from the command line, answers, and goes on after a stop bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import DATES, PHRASES, SMALL, refused, s2s, train, weights

OPTIONS = {
    "dropouts": (
        "model.layers=2",
        "model.residual=true",
        "model.dropout=0.2",
        "model.embedding_dropout=0.1",
        "model.output_dropout=0.2",
        "model.recurrent_dropout=0.3",
        "model.word_dropout=0.2",
        "model.variational_dropout=true",
    ),
    "weight drop in the reference loop": ("model.recurrent_dropout=0.3", "model.backend=reference", "model.segment=4"),
    "weight drop, step by step": ("model.recurrent_dropout=0.3", "model.attention=joey", "model.core=gru"),
    "coverage and gate": (
        "model.attention=bahdanau",
        "model.coverage=true",
        "model.coverage_loss=0.5",
        "model.context_gate=both",
    ),
    "scheduled sampling": (
        "model.scheduled_sampling=0.6",
        "model.scheduled_sampling_updates=4",
        "model.attention=bahdanau",
    ),
    "layer norm": ("model.layer_norm=true", "model.forget_bias=1.0", "model.decoder.core=gru"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_trains_answers_and_resumes(here: Path, option: str) -> None:
    words = (*DATES, *OPTIONS[option], "training.schedule=constant", "training.epochs=none")
    train(*words, "training.updates=5", "-o", "whole")
    train(*words, "training.updates=2", "-o", "half")
    train("--resume", "half", "training.updates=5")
    for file in ("model.safetensors", "optimizer.safetensors"):
        left, right = (weights(here / run / "checkpoints/step-5" / file) for run in ("whole", "half"))
        assert left == right
    answered = s2s("translate", "whole", "--beam", "3", stdin=b"May 1, 2001\nJUNE 9, 1975\n")
    assert answered.code == 0, answered.err
    assert answered.out.count("\n") == 2


WORDS = (PHRASES, *SMALL, "text.tokenizer=words", "text.shared=false", "model.tie=none", "training.epochs=1")


def test_vectors_from_a_file(here: Path) -> None:
    """They are read once: the run resumes and answers without the file."""
    rows = [f"{word} " + " ".join(["0.25"] * 16) for word in ("ich", "Guten", "nirgends")]
    (here / "vec.txt").write_text("\n".join(rows), encoding="utf-8")
    words = (*WORDS, "model.encoder.embeddings=vec.txt", "model.encoder.freeze_embeddings=true")
    said = train(*words, "-o", "run").err
    assert "3 vectors of 16" in said
    assert "of the encoder's" in said
    (here / "vec.txt").unlink()
    train("--resume", "run", "training.epochs=2")
    assert s2s("translate", "run", stdin=b"Guten Morgen!\n").code == 0


def test_vectors_of_another_width(here: Path) -> None:
    (here / "vec.txt").write_text("ich 1 2 3\n", encoding="utf-8")
    said = s2s("train", *WORDS, "model.embeddings=vec.txt", "-o", "run")
    refused(said, "vec.txt has vectors of 3 numbers", "embedding has 16", "model.encoder.embedding_size = 3")
    assert not (here / "run").exists()
    refused(s2s("train", *WORDS, "model.embeddings=other.txt", "-o", "run"), "other.txt: no such file")
