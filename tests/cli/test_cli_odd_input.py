"""Input that is read but odd: blank pairs, endless lines, files and languages that contradict each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, refused, s2s, train

LINES = PHRASES.read_text(encoding="utf-8").splitlines()
ENDLESS = ("May 1, 2001. " * 8_000)[:100_000]
NEW = ("-o", "run", *SMALL, "training.epochs=0")


@pytest.fixture
def parallel(here: Path) -> Path:
    """`train.de`, `train.en` and `pairs.de-en.tsv`, all of the same pairs."""
    for column, language in enumerate(("de", "en")):
        text = "".join(f"{line.split(chr(9))[column]}\n" for line in LINES)
        (here / f"train.{language}").write_text(text, encoding="utf-8")
    (here / "pairs.de-en.tsv").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return here


class TestPairs:
    def test_blanks_and_endless_lines_are_dropped_and_counted(self, here: Path) -> None:
        odd = [" \t  ", f"{ENDLESS}\tlong", f"kurz\t{ENDLESS}", f"{'1' * 100_000}\tlong"]
        (here / "pairs.tsv").write_text("\n".join([*LINES, *odd]) + "\n", encoding="utf-8")
        (here / "valid.tsv").write_text("\n".join(LINES[:4]) + "\n", encoding="utf-8")
        words = ("text.tokenizer=characters", "text.vocab_size=none", "training.updates=1")
        said = train("pairs.tsv", "--valid", "valid.tsv", *NEW, *words).err
        reasons = "1 empty on one side, 2 longer than 100 source tokens, 1 longer than 100 target tokens"
        assert f"dropped 4 of {len(LINES) + 4} pairs: {reasons}" in said

    def test_an_endless_line_to_validate_on(self, here: Path) -> None:
        odd = [f"{ENDLESS}\tlong", "\t".join(["1" * 5_000] * 2), " \t "]
        (here / "valid.tsv").write_text("\n".join([*LINES[:3], *odd]) + "\n", encoding="utf-8")
        said = train(PHRASES, "--valid", "valid.tsv", *NEW, "training.epochs=1", "text.vocab_size=100").err
        assert re.search(r"epoch 1, update \d+, .*loss \d", said)

    def test_endless_ones_are_scored_and_blank_ones_named(self, dates: Path, here: Path) -> None:
        endless = "\t".join(["1" * 5_000] * 2)
        pairs = ["May 1, 2001\t2001-05-01", endless, " \t  ", "June 9, 1975\t1975-06-09"]
        (here / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
        result = s2s("score", dates, "pairs.tsv")
        assert result.code == 0
        assert [line.startswith("-\t") for line in result.out.splitlines()] == [False, False, True, False]
        assert "an empty side: 1 of 4 pairs (3)" in result.err


@pytest.mark.parametrize("words", [("train",), ("score", "RUN"), ("evaluate", "RUN")], ids=lambda words: words[0])
def test_parallel_files_of_different_length(dates: Path, parallel: Path, words: tuple[str, ...]) -> None:
    (parallel / "short.en").write_text("one\n")
    files = ("--data", "train.de", "--data", "short.en") if words[0] == "evaluate" else ("train.de", "short.en")
    result = s2s(*(dates if word == "RUN" else word for word in words), *files)
    refused(result, "same number of lines", f"train.de has {len(LINES)}", "short.en has 1")


class TestDirection:
    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            (["train.de", "train.en", "data.source_lang=en", "data.target_lang=de"], ["de to en", "en to de"]),
            (["train.de", "train.en", "data.source_lang=de", "data.target_lang=de"], ["de to en", "de to de"]),
            (["train.de", "train.en", "data.source_lang=en"], ["de to en", "en to en"]),
            (["pairs.de-en.tsv", "data.source_lang=en", "data.target_lang=de"], ["de to en", "en to de"]),
            (["train.de", "train.en", "--valid", "train.en", "--valid", "train.de"], ["en to de", "de to en"]),
            (["train.de", "train.en", "--test", "train.en", "--test", "train.de"], ["en to de", "de to en"]),
        ],
        ids=["swapped", "same", "one", "columns", "valid", "test"],
    )
    def test_names_that_say_otherwise(self, parallel: Path, words: list[str], parts: list[str]) -> None:
        named, expected = parts
        refused(s2s("train", *words, *NEW), f"by name {named}", f"expected {expected}", "data.source_lang", "first")
        assert not (parallel / "run").exists()

    @pytest.mark.usefixtures("here")
    def test_a_corpus_with_one_language_on_both_sides(self) -> None:
        words = ("multi30k-de-en", "--from", ".", "data.source_lang=en", *NEW)
        refused(s2s("train", *words), "source and target are both 'en'", "de, en, fr", "data.source_lang")

    @pytest.mark.usefixtures("parallel")
    def test_files_for_a_trained_run(self) -> None:
        train("train.de", "train.en", *NEW)
        for words in (
            ("score", "run", "train.en", "train.de"),
            ("evaluate", "run", "--data", "train.en", "--data", "train.de"),
        ):
            refused(s2s(*words), "train.en and train.de: by name en to de, expected de to en")
