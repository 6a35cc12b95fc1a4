"""`s2s evaluate`: scores for people and for programs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, refused, s2s, train

PAIRS = "May 1, 2001\t2001-05-01\nJUNE 9, 1975\t1975-06-09\n"


def test_json_is_all_there_is_on_standard_output(dates: Path) -> None:
    result = s2s("evaluate", dates, "--json")
    assert result.code == 0
    scores = json.loads(result.out)
    assert scores["n"] == 20
    assert scores["data"] == "test"
    assert 0 <= scores["exact_match"] <= 1
    assert {"bleu", "chrf", "ter", "beam"} <= scores.keys()
    assert scores["signature"].startswith("nrefs:1|")
    assert result.out.count("\n") == 1


def test_a_line_for_people(dates: Path) -> None:
    result = s2s("evaluate", dates)
    assert "test: 20 pairs" in result.out
    assert "exact match" in result.out
    assert "nrefs:1|" in result.out


def test_the_scores_of_the_end_of_training_come_again(dates: Path) -> None:
    before, now = json.loads((dates / "scores.json").read_text()), json.loads(s2s("evaluate", dates, "--json").out)
    assert [before[key] for key in ("n", "exact_match", "bleu", "chrf", "ter", "signature")] == [
        now[key] for key in ("n", "exact_match", "bleu", "chrf", "ter", "signature")
    ]


def test_files(dates: Path, here: Path) -> None:
    (here / "pairs.tsv").write_text(PAIRS)
    (here / "a.src").write_text("May 1, 2001\nJUNE 9, 1975\n")
    (here / "a.tgt").write_text("2001-05-01\n1975-06-09\n")
    one = json.loads(s2s("evaluate", dates, "--data", "pairs.tsv", "--json").out)
    two = json.loads(s2s("evaluate", dates, "--data", "a.src", "--data", "a.tgt", "--json").out)
    fed = json.loads(s2s("evaluate", dates, "--data", "-", "--json", stdin=PAIRS.encode()).out)
    assert one["n"] == two["n"] == fed["n"] == 2
    assert one["chrf"] == two["chrf"] == fed["chrf"]
    assert (one["data"], two["data"], fed["data"]) == ("pairs.tsv", "a.src and a.tgt", "standard input")


def test_output_has_a_line_a_pair(dates: Path, here: Path) -> None:
    (here / "pairs.tsv").write_text("\t\n" + PAIRS)
    assert s2s("evaluate", dates, "--data", "pairs.tsv", "--output", "answers").code == 0
    stdin = b"\nMay 1, 2001\nJUNE 9, 1975\n"
    assert (here / "answers").read_text() == s2s("translate", dates, stdin=stdin).out


@pytest.mark.parametrize("output", ["missing/answers", "."])
def test_output_that_cannot_be(dates: Path, here: Path, output: str) -> None:
    refused(s2s("evaluate", dates, "--output", output), f"--output {output}", "expected a file")
    assert not list(here.iterdir())


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_output_that_may_not_be_written(dates: Path, here: Path) -> None:
    (here / "answers").touch(mode=0o400)
    refused(s2s("evaluate", dates, "--output", "answers"), "--output answers", "name another file")


def test_bad_lines(dates: Path, here: Path) -> None:
    (here / "pairs.tsv").write_text(PAIRS + "one\n")
    refused(s2s("evaluate", dates, "--data", "pairs.tsv"), "line 3", "1 column", "--skip-bad")
    result = s2s("evaluate", dates, "--data", "pairs.tsv", "--skip-bad", "--json")
    assert json.loads(result.out)["n"] == 2
    assert "skipped 1 bad line" in result.err


@pytest.mark.usefixtures("here")
def test_without_a_test_set() -> None:
    train(PHRASES, "-o", "run", *SMALL, "training.epochs=0")
    scores = json.loads(s2s("evaluate", "run", "--json", "--beam", "2").out)
    assert scores["n"] == 6
    assert "validation" in scores["data"]
    assert scores["beam"] == 2
