"""Several corpora in one run."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, refused, s2s, same_run, train

from s2s.build.corpus import load_corpus
from s2s.config.io import check
from s2s.errors import UserError

LINES = PHRASES.read_text(encoding="utf-8").splitlines(keepends=True)
QUICK = (
    *SMALL,
    "text.tokenizer=characters",
    "training.batch_size=8",
    "training.epochs=2",
    "training.schedule=constant",
)


@pytest.fixture
def halves(here: Path) -> Path:
    (here / "main.tsv").write_text("".join(LINES[:40]), encoding="utf-8")
    (here / "more.de-en.tsv").write_text("".join(LINES[40:]), encoding="utf-8")
    (here / "held.tsv").write_text("".join(LINES[:5]), encoding="utf-8")
    return here


def mix(**keys: object) -> str:
    inner = ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return f"data.mix=[{{{inner}}}]"


def test_without_weights_it_is_one_corpus(halves: Path) -> None:
    """Bit for bit the run on the files put together."""
    (halves / "both.tsv").write_text("".join(LINES), encoding="utf-8")
    train("both.tsv", "--valid", "held.tsv", *QUICK, "-o", "one")
    train("main.tsv", mix(train="more.de-en.tsv"), "--valid", "held.tsv", *QUICK, "-o", "two")
    assert same_run(halves / "one", halves / "two")


def test_weights_are_shares_and_a_run_resumes_to_the_same_bits(halves: Path) -> None:
    words = ("main.tsv", mix(train="more.de-en.tsv", weight=3), "data.weight=1", "--valid", "held.tsv", *QUICK)
    said = train(*words, "-o", "whole").err
    assert "an epoch has 16 pairs of main.tsv (src to tgt, 40 pairs)" in said
    assert "an epoch has 46 pairs of more.de-en.tsv (src to tgt, 22 pairs)" in said
    train(*words, "training.updates=11", "-o", "cut")
    train("--resume", "cut", "training.updates=none")
    assert same_run(halves / "whole", halves / "cut")


def test_the_configuration_of_a_run_trains_it_again(halves: Path) -> None:
    words = ("main.tsv", mix(train="more.de-en.tsv", weight=3), "data.weight=1", "--valid", "held.tsv", *QUICK)
    train(*words, "training.updates=2", "-o", "first")
    config = tomllib.loads((halves / "first/config.toml").read_text(encoding="utf-8"))
    (entry,) = config["data"]["mix"]
    assert entry["train"] == [str(halves / "more.de-en.tsv")]
    assert (entry["source_lang"], entry["target_lang"], entry["weight"]) == ("src", "tgt", 3.0)
    train("first/config.toml", "-o", "second")
    assert same_run(halves / "first", halves / "second")


def test_files_of_the_mix_are_not_overwritten(halves: Path) -> None:
    train("main.tsv", "--valid", "held.tsv", *QUICK, "training.updates=1", "-o", "run")
    (halves / "run/more.tsv").write_text("".join(LINES[40:]), encoding="utf-8")
    refused(
        s2s("train", "main.tsv", mix(train="run/more.tsv"), *QUICK, "-o", "run", "--overwrite"), "more.tsv: lies in"
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([mix(train="no.tsv")], ["no.tsv"]),
        ([mix(train="more.de-en.tsv", weight=2)], ["data: weights are shares", "or none"]),
        ([mix(train="more.de-en.tsv", wieght=2)], ["data.mix.0.wieght: unknown key; a [[data.mix]] has", "weight"]),
        ([mix(weight=2), "data.weight=1"], ["data.mix.0", "expected train (files of pairs) or corpus"]),
        ([mix(train="-")], ["standard input (-) can be data.train alone"]),
        ([mix(corpus="multi31k")], ["no corpus named 'multi31k'"]),
        ([mix(train="more.de-en.tsv"), "data.max_source=1"], ["no training pair is left"]),
    ],
)
def test_mistakes(halves: Path, words: list[str], parts: list[str]) -> None:
    assert halves
    refused(s2s("train", "main.tsv", *words, *QUICK, "-o", "run"), *parts)
    assert not Path("run").exists()


def test_a_corpus_that_the_filters_empty_is_named(halves: Path) -> None:
    (halves / "long.tsv").write_text("a" * 90 + "\tb\n", encoding="utf-8")
    refused(s2s("train", "main.tsv", mix(train="long.tsv"), "data.max_source=80", *QUICK), "long.tsv: no training pair")


def test_what_an_entry_leaves_open_is_as_in_data(halves: Path) -> None:
    data = {"train": "main.tsv", "source_lang": "nl", "mix": [{"train": "more.de-en.tsv"}, {"train": "held.tsv"}]}
    corpus = load_corpus(check({"data": data}, "x").data)
    assert halves
    languages = [(part.source_lang, part.target_lang) for part in corpus.parts]
    assert languages == [("nl", "tgt"), ("de", "tgt"), ("nl", "tgt")]
    assert [part.pairs for part in corpus.parts] == [36, 22, 5]
    assert len(corpus.train) == 36 + 22 + 5


def test_files_are_held_against_their_own_direction(halves: Path) -> None:
    """Validation pairs have that of `[data]`, a corpus of the mix has its own."""
    for name in ("train.de", "train.en", "valid.de", "valid.en"):
        shutil.copy("held.tsv", halves / name)
    data = {"train": ["train.de", "train.en"], "valid": ["valid.de", "valid.en"]}
    back = {"train": ["train.en", "train.de"]}
    corpus = load_corpus(check({"data": {**data, "mix": [back]}}, "x").data)
    assert corpus.directions == [("de", "en"), ("en", "de")]
    wrong = {**back, "source_lang": "de", "target_lang": "en"}
    with pytest.raises(UserError, match="by name en to de, expected de to en"):
        load_corpus(check({"data": {**data, "mix": [wrong]}}, "x").data)


def test_a_warning_tells_of_validation_pairs_in_the_mix(halves: Path) -> None:
    assert halves
    data = {"train": "main.tsv", "source_lang": "de", "target_lang": "en"}
    for target, told in (("en", True), ("fr", False)):
        mixed = {"train": "main.tsv", "target_lang": target}
        notes = load_corpus(check({"data": {**data, "mix": [mixed]}}, "x").data).notes
        assert any("have a source that also stands in the training set" in note for note in notes) == told
