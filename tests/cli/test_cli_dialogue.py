"""Dialogues from the command line: flat, HRED and VHRED trained, gone on with, scored, talked to; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_tools import PHRASES, SMALL, refused, s2s, same_run, train
from safetensors.torch import load_file

import s2s as package

NEW = (
    *SMALL,
    "--valid", "valid.tsv",
    "--test", "test.tsv",
    "data.format=turns-tsv",
    "text.tokenizer=words",
    "text.vocab_size=none",
    "model.bridge=tanh",
    "training.batch_tokens=300",
    "training.learning_rate=2e-2",
    "search.max_length=12",
    "-o", "run",
)  # fmt: skip
KINDS = {
    "flat": ("model.attention=none",),
    "hred": ("model.kind=hred", "model.context.core=gru"),
    "vhred": ("model.kind=vhred", "model.latent_size=4", "training.kl_warmup=5", "model.decoder.word_dropout=0.25"),
}
ASKED = {"who is it": "it is me", "how are you": "fine , thanks", "good bye": "see you"}


def dialogue(number: int) -> str:
    """Questions with their answers, in some order."""
    asked = list(ASKED.items())
    turns = [turn for place in range(2) for turn in asked[(number + place * (1 + number % 2)) % 3]]
    return "\t".join(turns)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, numbers in (("train", range(30)), ("valid", range(6)), ("test", range(3, 9))):
        lines = [dialogue(number) for number in numbers]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_learned_scored_and_given(here: Path, kind: str) -> None:
    words = (*NEW, *KINDS[kind], "training.epochs=40", "training.validate_every=50")
    said = train("train.tsv", *words, "model.hidden_size=32").err
    assert "30 training dialogues of 120 turns" in said
    assert "0 of 6 test dialogues share no two turns in a row with the training set" in said
    found = json.loads((here / "run" / "scores.json").read_text())
    assert found["turns"] == 24
    assert 1 < found["perplexity_per_word"] < 2.2
    assert ("active_units" in found) == (kind == "vhred")
    if kind == "vhred":
        assert found["bound_per_word"] > found["perplexity_per_word"]  # a bound lies above what it bounds
    told = s2s("chat", "run", stdin=b"who is it\n\nhow are you\n[EXIT]\nwho is it\n")
    assert told.code == 0, told.err
    assert told.out.splitlines() == ["it is me", "fine , thanks"]
    again = json.loads(s2s("evaluate", "run", "--json").out)
    assert again["perplexity_per_word"] == pytest.approx(found["perplexity_per_word"], rel=1e-6)
    assert again["replies"]["unigram_f1"] == pytest.approx(found["replies"]["unigram_f1"])
    assert s2s("translate", "run", stdin=b"good bye\tsee you\thow are you\n").out == "fine , thanks\n"
    assert "model of dialogues" in (here / "run" / "README.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_is_exact(here: Path, kind: str) -> None:
    words = (*NEW[:-2], *KINDS[kind], "training.validate_every=3", "training.epochs=none")
    train("train.tsv", *words, "-o", "whole", "training.updates=8")
    train("train.tsv", *words, "-o", "half", "training.updates=5")
    train("--resume", "half", "training.updates=8")
    assert same_run(here / "whole", here / "half")


def test_a_conversation_in_python(here: Path) -> None:
    train("train.tsv", *NEW, *KINDS["vhred"], "training.epochs=1")
    chat = package.load(here / "run").chat(search={"sample": True, "seed": 3})
    first = [reply.text for reply in chat.say("who is it", candidates=4)]
    assert len(first) == 4
    assert chat.turns == ["who is it", first[0]]
    chat.reset()
    assert [reply.text for reply in chat.say(" who\tis it ", candidates=4)] == first
    assert chat.turns[0] == "who is it"
    assert len(set(first)) > 1


def test_a_latent_variable_begins_from_an_hred(here: Path) -> None:
    train("train.tsv", *NEW[:-2], *KINDS["hred"], "training.epochs=1", "-o", "hred")
    words = (
        "model.kind=vhred",
        "model.latent_size=4",
        "training.epochs=1",
        "-o",
        "vhred",
        *NEW[:-2],
        "training.seed=7",
    )
    said = train("train.tsv", "--init-from", "hred", *words).err
    assert "weights taken as they were" in said
    assert "latent.prior.first.weight" in said
    assert (here / "vhred" / "scores.json").is_file()


@pytest.mark.parametrize("kind", ["flat", "hred"])
def test_a_run_begins_from_another_of_its_kind(here: Path, kind: str) -> None:
    words = (*NEW[:-2], *KINDS[kind], "training.plots=false")
    train("train.tsv", *words, "training.epochs=2", "-o", "first")
    train(
        "train.tsv", "--init-from", "first", *words, "training.updates=1", "training.learning_rate=1e-9", "-o", "then"
    )
    first, then = (load_file(here / name / "model.safetensors") for name in ("first", "then"))
    assert first.keys() == then.keys()
    for name, weight in first.items():
        torch.testing.assert_close(then[name], weight, rtol=0, atol=1e-7)


class TestOddDialogues:
    def test_lone_and_empty_turns_are_said(self, here: Path) -> None:
        lines = [dialogue(0), "alone", "one\t\ttwo\tthree", "\t".join(["yes", "no"] * 500)]
        (here / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        words = (*NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none", "data.max_turns=20")
        said = train("train.tsv", *words).err
        assert "1 empty turn cut out, 2 of one turn left out, 1 longer than 20 turns cut into 50" in said

    def test_a_thousand_turns_are_read_whole(self, here: Path) -> None:
        (here / "train.tsv").write_text("\t".join(["yes", "no"] * 500) + "\n" + dialogue(1) + "\n", encoding="utf-8")
        said = train("train.tsv", *NEW, *KINDS["hred"], "training.updates=2", "training.epochs=none").err
        assert "2 training dialogues of 1,004 turns" in said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("train.tsv", "data.format=tsv"), ["format tsv is of pairs", "turns-tsv"]),
        (("data.corpus=multi30k",), ["multi30k", "holds pairs", "dailydialog"]),
        (("missing.tsv",), ["missing.tsv"]),
        (("train.tsv", "model.kind=hred", "model.bridge=copy"), ["bridge"]),
        (("train.tsv", "model.latent_size=5"), ["latent_size", "vhred"]),
    ],
)
def test_what_is_refused(here: Path, words: tuple[str, ...], parts: list[str]) -> None:
    given = [word for word in NEW if not any(word.startswith(other.partition("=")[0] + "=") for other in words)]
    result = s2s("train", *given, "model.kind=hred", *words)
    refused(result, *parts)
    assert not (here / "run").exists()


def test_pairs_hold_no_conversation(here: Path) -> None:  # noqa: ARG001
    train(PHRASES, "-o", "pairs", *SMALL, "training.updates=1", "text.vocab_size=100")
    refused(s2s("chat", "pairs"), "was trained on pairs", "s2s translate")
    train("train.tsv", *NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none")
    refused(s2s("evaluate", "run", "pairs"), "pairs", "evaluate them apart")
    refused(s2s("evaluate", "run", "--bootstrap", "100"), "bootstrap")
    refused(s2s("chat", "run", "pairs"), "expected one run", "got 2")
