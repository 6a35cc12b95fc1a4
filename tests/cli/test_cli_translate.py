"""`s2s translate`: N lines in, N lines out, whatever the lines are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import DATES, SMALL, environment, program, ran, refused, s2s, started, train


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (b"", 0),
        (b"May 1, 2001", 1),
        (b"May 1, 2001\n", 1),
        (b"\n", 1),
        (b"\n\n\n", 3),
        (b"May 1, 2001\n\n  \nJUNE 9, 1975", 4),
        (b"May 1, 2001\r\n\r\nJUNE 9, 1975\r\n", 3),
        ("中文 ЖЖЖ 🙂\n\u2028a\x85b\x0bc\n".encode(), 2),
        (b"a\rb\nc\n", 2),
        (b"May 1, 2001" * 455 + b"\n1\n", 2),
    ],
    ids=["nothing", "cut", "one", "blank", "blanks", "mixed", "crlf", "unknown", "carriage", "long"],
)
def test_as_many_lines_as_there_were(dates: Path, given: bytes, lines: int) -> None:
    result = s2s("translate", dates, stdin=given)
    assert (result.code, result.err) == (0, "")
    assert result.out.count("\n") == lines
    assert result.out.endswith("\n") or not lines


def test_blank_lines_stay_blank_and_line_ends_do_not_matter(dates: Path) -> None:
    plain = s2s("translate", dates, stdin=b"May 1, 2001\n\nJUNE 9, 1975\n").out
    assert plain.split("\n")[1] == ""
    assert s2s("translate", dates, stdin=b"May 1, 2001\r\n\r\nJUNE 9, 1975").out == plain
    assert s2s("translate", dates, stdin=b"\xef\xbb\xbfMay 1, 2001\n\nJUNE 9, 1975\n").out == plain


def test_answers_do_not_depend_on_the_company(dates: Path) -> None:
    lines = [f"{month} {day}, 19{year}" for month in ("May", "JUNE") for day in (1, 20) for year in range(70, 99)]
    stdin = "".join(f"{line}\n" for line in lines).encode()
    together = s2s("translate", dates, stdin=stdin).out
    assert s2s("translate", dates, "--batch-size", "1", stdin=stdin).out == together


def test_n_best(dates: Path) -> None:
    result = s2s("translate", dates, "--n-best", "3", "--beam", "5", stdin=b"May 1, 2001\n\nJUNE 9, 1975\n")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    assert rows[3] == ["2", "0.0000", ""]
    scores = [float(row[1]) for row in rows[:3]]
    assert scores == sorted(scores, reverse=True)
    assert len({row[2] for row in rows[:3]}) == 3


def test_more_answers_than_there_are_tokens(dates: Path) -> None:
    result = s2s("translate", dates, "--n-best", "50", "--json", stdin=b"1\n")
    assert len(json.loads(result.out, parse_constant=pytest.fail)["translations"]) <= 50


def test_json(dates: Path) -> None:
    sources = ["May 1, 2001", "", 'ü "quoted" \\ \t tab', "JUNE 9, 1975"]
    stdin = "".join(f"{source}\n" for source in sources).encode()
    rows = [
        json.loads(line) for line in s2s("translate", dates, "--json", "--n-best", "2", stdin=stdin).out.splitlines()
    ]
    assert [row["source"] for row in rows] == sources
    assert [len(row["translations"]) for row in rows] == [2, 1, 2, 2]
    assert [(row["text"], row["score"]) for row in rows] == [
        (row["translations"][0]["text"], row["translations"][0]["score"]) for row in rows
    ]
    plain = s2s("translate", dates, "--beam", "2", stdin=stdin).out.splitlines()
    assert [row["translations"][0]["text"] for row in rows] == plain


def test_wider_beams_do_not_score_worse(dates: Path) -> None:
    def score(*words: str) -> float:
        found = json.loads(s2s("translate", dates, "--json", *words, stdin=b"TUESDAY, SEPTEMBER 25, 1984\n").out)
        return float(found["translations"][0]["score"])

    assert score("--beam", "8") >= score("--beam", "1") - 1e-6


@pytest.mark.parametrize("option", ["--beam", "--n-best", "--batch-size"])
@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_impossible_numbers(dates: Path, option: str, value: str) -> None:
    refused(s2s("translate", dates, option, value), option)


def test_not_utf8(dates: Path) -> None:
    result = s2s("translate", dates, stdin=b"May 1, 2001\n\xfc\n")
    refused(result, "standard input, line 2: not UTF-8", "iconv")


def test_answers_with_line_ends_stay_on_their_line(here: Path) -> None:
    rows = [{"source": str(n), "target": "a\n\rb"} for n in range(10)]
    (here / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (*SMALL, "text.tokenizer=characters", "training.epochs=40", "training.learning_rate=0.03")
    train("pairs.jsonl", "-o", "run", *words)
    answer = json.loads(s2s("translate", "run", "--json", stdin=b"3\n").out)["translations"][0]["text"]
    assert answer == "a\n\rb"
    assert s2s("translate", "run", stdin=b"3\n4\n").out == "a  b\na  b\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_closed_pipe_is_no_accident(dates: Path, here: Path) -> None:
    (here / "in").write_text("May 1, 2001\n" * 5000)
    with (here / "in").open("rb") as stdin:
        process = subprocess.Popen(
            program("translate", dates), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_text_is_utf8_whatever_the_locale(here: Path) -> None:
    pairs = "".join(f"{letter}\tü中\n" for letter in "abcdefghij")
    words = (*SMALL, "text.tokenizer=characters", "training.epochs=40", "training.learning_rate=0.03")
    train("-", "-o", "run", *words, stdin=pairs.encode())
    result = ran("translate", "run", folder=here, stdin=b"a\n", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert result.code == 0, result.err
    assert "ü中" in result.out


LINES = b"May 1, 2001\n\nJUNE 9, 1975\n"


class TestOverrides:
    def test_any_key_of_search_can_be_given(self, dates: Path) -> None:
        by_flag = s2s("translate", dates, "--beam", "4", "--n-best", "4", stdin=LINES)
        by_key = s2s("translate", dates, "search.beam=4", "--n-best", "4", stdin=LINES)
        assert by_key == by_flag
        assert s2s("translate", dates, "search.max_length=3", stdin=b"May 1, 2001\n").out.strip() != ""
        assert len(s2s("translate", dates, "search.max_length=3", stdin=b"May 1, 2001\n").out) == 4

    @pytest.mark.parametrize(
        ("word", "parts"),
        [
            ("search.beem=3", ["search.beem: unknown key", "search.beam?"]),
            ("search.beam=0", ["search.beam = 0", "greater than or equal to 1"]),
            ("search=3", ["search: only search.key=value"]),
            ("model.core=gru", ["model: only search.key=value", "fixed when the run was trained"]),
        ],
    )
    def test_wrong_ones(self, dates: Path, word: str, parts: list[str]) -> None:
        refused(s2s("translate", dates, word, stdin=LINES), *parts)

    def test_no_run(self) -> None:
        refused(s2s("translate", "search.beam=3", stdin=LINES), "expected a run directory", "got only overrides")


class TestEnsemble:
    def test_several_runs_answer_as_one(self, dates: Path, here: Path) -> None:
        train(*DATES, "training.seed=2", "-o", "other")
        one, two = (json.loads(s2s("translate", run, "--json", stdin=b"May 1, 2001\n").out) for run in (dates, "other"))
        both = json.loads(s2s("translate", dates, here / "other", "--json", stdin=b"May 1, 2001\n").out)
        assert len({one["score"], two["score"], both["score"]}) == 3
        assert json.loads(s2s("translate", dates, dates, "--json", stdin=b"May 1, 2001\n").out)[
            "score"
        ] == pytest.approx(one["score"], abs=1e-5)

    def test_of_other_vocabularies(self, dates: Path, here: Path) -> None:
        train(*DATES, "data.seed=9", "training.epochs=0", "-o", "other")
        refused(s2s("translate", dates, here / "other", stdin=LINES), "an ensemble needs one vocabulary", "[text]")
        refused(s2s("translate", dates, here / "missing", stdin=LINES), "missing: no such folder")


class TestSampling:
    WORDS = ("search.sample=true", "search.temperature=2.0")

    def test_what_is_drawn_does_not_depend_on_how_the_lines_arrive(self, dates: Path, here: Path) -> None:
        given = b"May 1, 2001\n" * 6
        whole = s2s("translate", dates, *self.WORDS, stdin=given).out
        assert len(set(whole.splitlines())) > 1  # each line draws for itself
        assert s2s("translate", dates, *self.WORDS, "search.seed=2", stdin=given).out != whole
        with started(("translate", dates, *self.WORDS), here, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            found = b""
            for line in given.splitlines(keepends=True):
                process.stdin.write(line)
                process.stdin.flush()
                found += process.stdout.readline()
            process.stdin.close()
        assert found.decode() == whole

    def test_a_beam_is_not_sampled(self, dates: Path) -> None:
        plain = s2s("translate", dates, "--beam", "2", stdin=LINES)
        assert s2s("translate", dates, *self.WORDS, "--beam", "2", stdin=LINES) == plain


class TestLongLines:
    def test_a_line_longer_than_training_pairs_is_answered_in_sentences(self, dates: Path) -> None:
        one = "Mai 1, 2001. June 9, 1975.  APRIL 3, 1999"
        long = " ".join([one] * 5)
        parts = s2s("translate", dates, stdin=b"Mai 1, 2001.\nJune 9, 1975.\nAPRIL 3, 1999\n").out.splitlines()
        answer = s2s("translate", dates, "--split-sentences", "always", stdin=f"{one}\n".encode()).out
        assert answer == f"{parts[0]} {parts[1]}  {parts[2]}\n"
        whole = s2s("translate", dates, "--split-sentences", "never", stdin=f"{long}\n".encode()).out
        assert s2s("translate", dates, stdin=f"{long}\n".encode()).out != whole
        assert s2s("translate", dates, stdin=f"{one}\n".encode()).out != answer

    def test_a_hundred_thousand_characters(self, dates: Path) -> None:
        for line in ("May 1, 2001. " * 8000, "1" * 100_000):
            result = s2s(
                "translate", dates, "search.max_length=12", "search.batch_size=512", stdin=f"{line}\n1\n".encode()
            )
            assert (result.code, result.err) == (0, "")
            assert result.out.count("\n") == 2
