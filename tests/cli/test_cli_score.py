"""`s2s score`: one line a pair in its place, the total, alignments; the same likelihood as in training."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from cli_tools import DATES, refused, s2s, snapshot, train

PAIRS = "May 1, 2001\t2001-05-01\n\t2001-05-01\nJUNE 9, 1975\t\nJUNE 9, 1975\t1975-06-09\n"


@pytest.fixture
def pairs(here: Path) -> Path:
    (here / "pairs.tsv").write_text(PAIRS)
    return here / "pairs.tsv"


def test_a_line_a_pair_and_the_total(dates: Path, pairs: Path) -> None:
    result = s2s("score", dates, pairs)
    assert result.code == 0
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert rows[1] == rows[2] == ["-", "-", "-", "0"]
    for row in (rows[0], rows[3]):
        log_p, per_token, perplexity, tokens = map(float, row)
        assert tokens == 11
        assert log_p == pytest.approx(per_token * tokens, abs=1e-2)
        assert perplexity == pytest.approx(math.exp(-per_token), rel=1e-2)
    assert "warning: not scored, an empty side: 2 of 4 pairs (2, 3)" in result.err
    assert "2 of 4 pairs, 22 tokens: log-probability" in result.err
    total = json.loads(s2s("score", dates, pairs, "--total", "--json").out)
    assert (total["pairs"], total["scored"], total["tokens"]) == (4, 2, 22)
    assert total["log_probability"] == pytest.approx(float(rows[0][0]) + float(rows[3][0]), abs=1e-3)
    assert total["perplexity"] == pytest.approx(math.exp(-total["log_probability"] / 22))
    assert s2s("score", dates, pairs, "--total").out in result.err


def test_json_has_every_token(dates: Path, pairs: Path) -> None:
    rows = [json.loads(line) for line in s2s("score", dates, pairs, "--json").out.splitlines()]
    assert [row["source"] for row in rows] == ["May 1, 2001", "", "JUNE 9, 1975", "JUNE 9, 1975"]
    assert rows[1]["log_probability"] is None
    assert "".join(rows[0]["tokens"]) == "2001-05-01</s>"
    assert sum(rows[0]["token_scores"]) == pytest.approx(rows[0]["log_probability"])


@pytest.mark.parametrize("size", ["1", "3", "64"])
def test_files_and_formats_and_batches_agree(dates: Path, pairs: Path, size: str) -> None:
    wanted = s2s("score", dates, pairs).out
    columns = [line.split("\t") for line in PAIRS.splitlines()]
    Path("a").write_text("".join(f"{source}\n" for source, _ in columns))
    Path("b").write_text("".join(f"{target}\n" for _, target in columns))
    rows = [{"source": source, "target": target} for source, target in columns]
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert s2s("score", dates, "a", "b", "--batch-size", size).out == wanted
    assert s2s("score", dates, "pairs.jsonl", "--batch-size", size).out == wanted
    assert s2s("score", dates, "-", "--batch-size", size, stdin=PAIRS.encode()).out == wanted
    assert s2s("score", dates, pairs, "--batch-size", size, "-o", "out").out == ""
    assert Path("out").read_text() == wanted


def test_the_loss_of_the_validation_is_found_again(here: Path) -> None:
    (here / "pairs.tsv").write_text("".join(f"{n}\t{n * 7}\n" for n in range(40)))
    words = ("data.valid=pairs.tsv", *DATES[1:-1], "training.epochs=1", "text.tokenizer=characters")
    train("pairs.tsv", "-o", "run", *(word for word in words if not word.startswith("data.train_size")))
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    loss = [line["loss"] for line in lines if line["event"] == "valid" and line.get("best")][-1]
    total = json.loads(s2s("score", "run", "pairs.tsv", "--total", "--json").out)
    assert -total["per_token"] == pytest.approx(loss, abs=1e-5)


def test_alignments(dates: Path, pairs: Path) -> None:
    assert s2s("score", dates, pairs, "--alignments", "links").code == 0
    links = Path("links").read_text().split("\n")
    assert links[1:3] == ["", ""]
    assert links[0] in ("0-0", "1-0", "2-0")  # the date is one word
    s2s("translate", dates, "-o", "out", "--alignments", "links", stdin=b"May 1, 2001\n\nJUNE 9, 1975\n")
    source, written = ["May 1, 2001", "", "JUNE 9, 1975"], Path("out").read_text().split("\n")
    Path("forced.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip(source, written, strict=False)))
    assert s2s("score", dates, "forced.tsv", "--alignments", "again").code == 0
    assert Path("again").read_text() == Path("links").read_text()


def test_no_alignments_without_attention(here: Path) -> None:
    train(*DATES, "model.attention=none", "training.epochs=0", "-o", "run")
    (here / "pairs.tsv").write_text(PAIRS)
    before = snapshot(here)
    for words in (("score", "run", "pairs.tsv"), ("translate", "run")):
        refused(s2s(*words, "--alignments", "links", "-o", "out"), "no attention", "Leave --alignments out")
    assert snapshot(here) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("missing.tsv",), ["missing.tsv: no such file"]),
        (("bad.tsv",), ["bad.tsv, line 1: found 1 column", "--skip-bad"]),
        (("latin.tsv",), ["latin.tsv, line 1: not UTF-8"]),
        (("a", "b"), ["same number of lines", "has 1", "has 2"]),
        (("a", "b", "c"), ["got 3 files"]),
        (("pairs.tsv", "-o", "folder"), ["--output folder: can't be written"]),
        (("pairs.tsv", "--alignments", "folder"), ["--alignments folder: can't be written"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
@pytest.mark.usefixtures("pairs")
def test_bad_input(dates: Path, here: Path, words: tuple[str, ...], parts: list[str]) -> None:
    (here / "bad.tsv").write_text("a\n")
    (here / "latin.tsv").write_bytes(b"\xfc\ta\n")
    (here / "a").write_text("x\n")
    (here / "b").write_text("x\ny\n")
    (here / "folder").mkdir()
    before = snapshot(here)
    output = () if "-o" in words else ("-o", "new")
    refused(s2s("score", dates, *words, *output), *parts)
    assert snapshot(here) == before
