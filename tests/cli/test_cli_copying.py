"""`model.copying` from the command line: trained, stopped, answering with words that no vocabulary has, refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, refused, s2s, same_run, train

COPYING = ("text.shared=true", "model.copying=true", "training.schedule=constant")
TOY = (
    "pairs.tsv",
    *SMALL,
    *COPYING,
    "text.tokenizer=words",
    "text.vocab_size=8",
    "model.tie=none",
    "model.output_dropout=0",
    "training.batch_size=16",
    "training.learning_rate=0.01",
    "training.label_smoothing=0.05",
    "training.metric=loss",
    "training.decode_limit=0",
)


@pytest.fixture(scope="module")
def pairs() -> str:
    """`X ruft Y` is `X calls Y`, and no name comes twice."""
    rng = random.Random(1)
    verbs = {"ruft": "calls", "sucht": "seeks"}
    names = rng.sample([f"{a}{b}{c}a" for a in "BDFGKLMNPRST" for b in "aeiou" for c in "bdfgklmnprst"], 700)
    said = [(names[i], rng.choice([*verbs]), names[i + 1]) for i in range(0, 700, 2)]
    return "".join(f"{one} {verb} {other}\t{one} {verbs[verb]} {other}\n" for one, verb, other in said)


def test_unknown_words_are_copied(here: Path, pairs: str) -> None:
    (here / "pairs.tsv").write_text(pairs)
    train(*TOY, "-o", "run", "training.epochs=8", "training.validate_every=160")
    source = "Zaphod sucht Trillian\nSlartibartfast ruft Zaphod\n"
    answer = s2s("translate", "run", "--beam", "3", stdin=source.encode())
    assert answer.out == "Zaphod seeks Trillian\nSlartibartfast calls Zaphod\n", answer.err
    (here / "given.tsv").write_text(
        "Zaphod sucht Trillian\tZaphod seeks Trillian\nZaphod sucht Ford\tFord seeks Arthur\n"
    )
    good, bad = s2s("score", "run", "given.tsv").out.splitlines()
    assert float(good.split("\t")[0]) > -1 > -3 > float(bad.split("\t")[0])


def test_goes_on_bit_for_bit(here: Path, pairs: str) -> None:
    (here / "pairs.tsv").write_text(pairs)
    words = (*TOY, "training.epochs=none", "model.scheduled_sampling=0.2", "model.scheduled_sampling_updates=0")
    train(*words, "training.updates=4", "-o", "whole")
    train(*words, "training.updates=2", "-o", "half")
    train("--resume", "half", "training.updates=4")
    assert same_run(here / "whole", here / "half")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_with_every_tokenizer(tokenizer: str) -> None:
    words = (f"text.tokenizer={tokenizer}", "text.vocab_size=80", "training.epochs=1", "search.beam=2")
    train(PHRASES, *SMALL, *COPYING, *words, "-o", "run")
    assert s2s("translate", "run", stdin="Guten 漢 Tag ☃!\n".encode()).code == 0


def test_what_does_not_go_together(here: Path) -> None:
    words = (PHRASES, "-o", "run", "model.copying=true")
    refused(s2s("train", *words, "text.shared=false"), "model.copying", "set text.shared = true")
    refused(s2s("train", *words, "text.shared=true", "model.attention=none"), "copying needs attention")
    assert not (here / "run").exists()
