"""`s2s evaluate`: scores for people and for programs."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tools import PHRASES, SMALL, refused, s2s, snapshot, train
from torch.nn import functional as F

from s2s.session import load

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
    lines = s2s("evaluate", dates, "--beam", "2").out.splitlines()
    assert lines[0] == "Test set: test, 20 pairs"
    assert [line for line in lines if line.startswith("exact match, %") and "±" in line]
    assert [line for line in lines if line.startswith("perplexity a word")]
    assert [line for line in lines if line.startswith("BLEU signature: nrefs:1|bs:1000|seed:12345|case:mixed|")]
    assert [line for line in lines if line.startswith(f"{dates}: beam 2, ")]


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


def scores_of(*words: str | Path) -> Any:
    result = s2s("evaluate", *words, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two untrained runs on the phrases, one of them lower-cased."""
    folder = tmp_path_factory.mktemp("phrases")
    for name, more in (("cased", []), ("lower", ["text.lowercase=true", "training.seed=2"])):
        train(PHRASES, "-o", folder / name, *SMALL, "training.epochs=1", "model.attention=bahdanau", *more)
    return folder / "cased", folder / "lower"


def test_intervals_can_be_seeded_and_left_out(dates: Path) -> None:
    usual, seeded, again = (scores_of(dates, *words) for words in ([], ["--seed", "7"], ["--seed", "7"]))
    assert usual["intervals"].keys() == {"bleu", "chrf", "ter", "exact_match"}
    assert all(interval["half"] >= 0 for interval in usual["intervals"].values())
    assert abs(usual["intervals"]["chrf"]["mean"] - usual["chrf"]) < 1
    assert seeded["intervals"] == again["intervals"] != usual["intervals"]
    assert "|bs:1000|seed:7|" in seeded["signature"]
    few = scores_of(dates, "--bootstrap", "50")
    assert "|bs:50|seed:12345|" in few["signature"]
    assert few["bleu"] == usual["bleu"]
    none = scores_of(dates, "--bootstrap", "0")
    assert "intervals" not in none
    assert "bs:" not in none["signature"]


def test_perplexity_is_of_the_sums(dates: Path, here: Path) -> None:
    """Against one sentence at a time, by hand, through the same model."""
    (here / "pairs.tsv").write_text("May 1, 2001\t2001-05-01\n\tx\nJUNE 9, 1975\t9 6 75\n")
    got = scores_of(dates, "--data", "pairs.tsv")
    translator = load(dates)
    nll, right, tokens = 0.0, 0, 0
    with torch.inference_mode():
        for source, target in (("May 1, 2001", "2001-05-01"), ("JUNE 9, 1975", "9 6 75")):
            ids = translator.target.encode(target)
            source_ids = translator.source.encode(source)[::-1]  # this recipe reverses the source
            features, *_ = translator.model(
                torch.tensor([source_ids]), torch.tensor([len(source_ids)]), torch.tensor([[1, *ids]])
            )
            logits = translator.model.output(features)[0]
            nll += float(F.cross_entropy(logits, torch.tensor([*ids, 2]), reduction="sum"))
            right += int((logits.argmax(-1) == torch.tensor([*ids, 2])).sum())
            tokens += len(ids) + 1
    assert got["tokens"] == tokens
    assert got["perplexity"] == pytest.approx(math.exp(nll / tokens), rel=1e-4)
    assert got["perplexity_per_word"] == pytest.approx(math.exp(nll / (1 + 1 + 3 + 1)), rel=1e-4)
    assert got["token_accuracy"] == pytest.approx(right / tokens, abs=1e-6)


def test_runs_and_files_are_compared(others: tuple[Path, Path], here: Path) -> None:
    cased, lower = others
    perfect = [line.split("\t")[1] for line in PHRASES.read_text(encoding="utf-8").splitlines()]
    (here / "perfect").write_text("\n".join(perfect) + "\n", encoding="utf-8")
    words = (cased, lower, "--system", "perfect=perfect", "--data", PHRASES)
    found = scores_of(*words)
    assert [system.get("run", system.get("system")) for system in found["systems"]] == [
        str(cased),
        str(lower),
        "perfect",
    ]
    assert found["n"] == len(perfect)
    assert found["test"] == "paired bootstrap, 1,000 samples"
    base, _, best = found["systems"]
    assert "paired" not in base
    assert "perplexity" not in best
    assert best["bleu"] == pytest.approx(100)
    assert best["paired"]["bleu"]["difference"] == pytest.approx(100 - base["bleu"], abs=1e-3)
    assert best["paired"]["bleu"]["p"] < 0.05
    assert best["paired"]["exact_match"]["p"] < 0.05
    text = s2s("evaluate", *words, "--paired", "ar", "--trials", "100").out
    assert f"Difference to {cased}" in text
    assert "paired approximate randomisation, 100 trials" in text
    assert "text.lowercase: answers are lower-case, references are compared as they are (case:mixed)" in text


def test_a_system_does_not_differ_from_itself(dates: Path, here: Path) -> None:
    assert s2s("evaluate", dates, "--output", "answers", "--data", _date_file(here)).code == 0
    found = scores_of(dates, "--system", "same=answers", "--data", "pairs.tsv")
    assert {(one["difference"], one["p"]) for one in found["systems"][1]["paired"].values()} == {(0.0, 1.0)}


def _date_file(here: Path) -> Path:
    (here / "pairs.tsv").write_text(PAIRS)
    return here / "pairs.tsv"


@pytest.mark.usefixtures("here")
def test_files_alone_need_a_test_set(here: Path) -> None:
    _date_file(here)
    (here / "a").write_text("2001-05-01\n1975-06-08\n")
    assert scores_of("--system", "a=a", "--data", "pairs.tsv")["exact_match"] == 0.5
    refused(s2s("evaluate", "--system", "a=a"), "--data")
    refused(s2s("evaluate"), "nothing to evaluate", "run directory")


def test_unlike_references(dates: Path, others: tuple[Path, Path], here: Path) -> None:
    refused(s2s("evaluate", dates, others[0], "--report", "r"), "test sets of 20 and 6 pairs", "--data")
    train("date-attention", *SMALL, "data.train_size=50", "data.valid_size=5", "data.test_size=20", "data.seed=9",
          "training.updates=1", "-o", "other")  # fmt: skip
    refused(s2s("evaluate", dates, "other", "--report", "r"), "unlike references", "pair 1", "--data")
    assert not (here / "r").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--system", "a=short", "--data", "pairs.tsv"], ["1 lines", "2 pairs"]),
        (["--system", "a=gone", "--data", "pairs.tsv"], ["gone: no such file"]),
        (["--system", "short", "--data", "pairs.tsv"], ["NAME=FILE"]),
        (["--system", "a=short", "--system", "a=short"], ["a: named twice"]),
        (["--data", "empty.tsv"], ["empty"]),
        (["--metric", "mine:f"], ["--metric mine:f", "python:package.module:function"]),
        (["--metric", "python:not_there:f"], ["No module named 'not_there'"]),
        (["--metric", "python:math:not_there"], ["no attribute 'not_there'"]),
        (["--metric", "python:math:pi"], ["pi is float", "expected a function"]),
        (["--metric", "python:math:sqrt"], ["TypeError", "hypotheses, references, sources"]),
        (["--report", "short"], ["short is a file"]),
        (["--report", "short/below"], ["short is a file"]),
        (["--output", "x", "--system", "a=short"], ["--output x", "one run"]),
    ],
)
def test_what_cannot_be_evaluated(dates: Path, here: Path, words: list[str], parts: list[str]) -> None:
    _date_file(here)
    (here / "empty.tsv").touch()
    (here / "short").write_text("one\n")
    before = snapshot(here)
    refused(s2s("evaluate", dates, *words), *parts)
    assert snapshot(here) == before


@pytest.mark.usefixtures("here")
def test_a_run_without_weights() -> None:
    train(PHRASES, "-o", "run", *SMALL, "training.epochs=0")
    Path("run/model.safetensors").unlink()
    refused(s2s("evaluate", "run"), "no weights there")


def test_metrics_of_ones_own(dates: Path, here: Path) -> None:
    (here / "own_metrics.py").write_text(
        "def longer(hypotheses, references, sources):\n"
        "    return [float(len(h) > len(r)) for h, r in zip(hypotheses, references)]\n"
        "def pairs(hypotheses, references, sources):\n"
        "    return len(set(zip(sources, references)))\n"
        "def broken(hypotheses, references, sources):\n"
        "    return hypotheses[10**6]\n"
        "def short(hypotheses, references, sources):\n"
        "    return [1.0]\n"
    )
    found = scores_of(dates, "--metric", "python:own_metrics:longer", "--metric", "python:own_metrics:pairs")
    assert 0 <= found["own_metrics:longer"] <= 1
    assert found["intervals"]["own_metrics:longer"]["half"] >= 0
    assert found["own_metrics:pairs"] == 20
    assert "own_metrics:pairs" not in found["intervals"]
    text = s2s("evaluate", dates, "--metric", "python:own_metrics:pairs").out
    assert [line for line in text.splitlines() if line.startswith("own_metrics:pairs") and "20.00" in line]
    refused(s2s("evaluate", dates, "--metric", "python:own_metrics:broken"), "IndexError", "own_metrics.py, line 6")
    refused(s2s("evaluate", dates, "--metric", "python:own_metrics:short"), "1 numbers for 20 sentences")


def test_a_report(others: tuple[Path, Path], here: Path) -> None:
    result = s2s("evaluate", *others, "--report", "new/report", "--examples", "2", "--json")
    assert result.code == 0, result.err
    folder = here / "new" / "report"
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == json.loads(result.out)
    page, plain = (folder / f"report.{suffix}" for suffix in ("html", "md"))
    for text in (page.read_text(encoding="utf-8"), plain.read_text(encoding="utf-8")):
        for part in ("By length of the source", "By frequency of words", "Worst sentences", "Difference to"):
            assert part in text
    drawn = sorted(path.name for path in folder.glob("*.png"))
    assert {"learning-curve-1.png", "learning-curve-2.png", "attention-1-1.png", "attention-2-1.png"} <= set(drawn)
    assert all(f"({name})" in plain.read_text(encoding="utf-8") for name in drawn)
    assert page.read_text(encoding="utf-8").count('src="data:image/png;base64,') == len(drawn)
    assert s2s("evaluate", others[0], "--report", "new/report").code == 0


def test_tables_on_the_console(dates: Path) -> None:
    text = s2s("evaluate", dates, "--tables", "--examples", "1").out
    assert "By length of the reference\ncharacters" in text
    assert "Seen: times in the training pairs." in text
    assert scores_of(dates, "--tables", "--examples", "1")["tables"][-1]["title"] == "Best sentences"


def test_validation_and_evaluation_compare_by_one_rule(others: tuple[Path, Path]) -> None:
    """A lower-cased run is compared with the references as they are, in training too."""
    lower = others[1]
    rows = [json.loads(line) for line in (lower / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (valid,) = [row for row in rows if row["event"] == "valid"]
    now = scores_of(lower, "--beam", "1", "--bootstrap", "0")
    assert now["bleu"] == pytest.approx(valid["bleu"], abs=1e-3)
    assert "|case:mixed|" in now["signature"]
