"""`s2s evaluate` with keys of the search, and with other words of BLEU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_tools import refused, s2s
from sacrebleu.metrics.bleu import BLEU

SOURCES, TARGETS = ["May 1, 2001", "JUNE 9, 1975"], ["2001-05-01", "1975-06-09"]
REFERENCES = ["我们在北京的学校里学习", "下雨了", "€5,000 more"]
ANSWERS = ["我们在北京的学习里", "下雨了", "€5,000 less"]


def scores_of(*words: str | Path) -> Any:
    result = s2s("evaluate", *words, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def pairs(here: Path) -> Path:
    _write(here / "pairs.tsv", [f"{source}\t{target}" for source, target in zip(SOURCES, TARGETS, strict=True)])
    return Path("pairs.tsv")


@pytest.fixture
def chinese(here: Path) -> tuple[str, ...]:
    """The words of an evaluation of `ANSWERS`."""
    _write(here / "pairs.tsv", [f"x\t{text}" for text in REFERENCES])
    _write(here / "a", ANSWERS)
    return "--system", "a=a", "--data", "pairs.tsv", "--bootstrap", "0"


def test_keys_of_the_search_decide_the_answers(dates: Path, pairs: Path) -> None:
    words = ("search.beam=3", "search.max_length=4")
    scores = scores_of(dates, *words, "--data", pairs, "--output", "answers")
    assert (scores["beam"], scores["search"]) == (3, {"beam": 3, "max_length": 4})
    translated = s2s("translate", dates, *words, stdin="\n".join(SOURCES).encode()).out
    assert Path("answers").read_text() == translated
    assert max(map(len, translated.splitlines())) <= 4
    assert "search" not in scores_of(dates, "--beam", "2", "--data", pairs)


def test_keys_of_the_search_are_told_with_the_scores(dates: Path, pairs: Path) -> None:
    result = s2s("evaluate", dates, "search.beam=3", "search.max_length=4", "--data", pairs, "--report", "report")
    pages = [Path("report", f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "json")]
    assert f"{dates}: beam 3, " in result.out
    assert "; search.beam = 3; search.max_length = 4" in result.out
    assert "; search.beam = 3; search.max_length = 4" in pages[0]
    assert json.loads(pages[1])["search"] == {"beam": 3, "max_length": 4}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["search.bema=3"], ["search.bema: unknown key", "search.beam?"]),
        (["search.beam=0"], ["search.beam = 0", "greater than or equal to 1"]),
        (["training.epochs=3"], ["training: only search.key=value"]),
        (["--tokenize", "13b"], ["--tokenize", "13b", "13a"]),
    ],
)
@pytest.mark.usefixtures("here")
def test_keys_that_are_none(dates: Path, words: list[str], parts: list[str]) -> None:
    refused(s2s("evaluate", dates, *words), *parts)


def test_keys_of_the_search_without_a_run(chinese: tuple[str, ...]) -> None:
    refused(s2s("evaluate", *chinese, "search.beam=3"), "search.beam: is for runs", "name a run")


def test_bleu_with_other_words(chinese: tuple[str, ...]) -> None:
    found = {name: scores_of(*chinese, "--tokenize", name) for name in ("13a", "char", "zh", "intl", "none")}
    for name, scores in found.items():
        assert scores["bleu"] == pytest.approx(BLEU(tokenize=name).corpus_score(ANSWERS, [REFERENCES]).score, abs=1e-3)
        assert f"|tok:{name}|" in scores["signature"]
    assert scores_of(*chinese)["signature"] == found["13a"]["signature"]
    assert len({scores["bleu"] for scores in found.values()}) >= 3
    assert "BLEU signature: nrefs:1|case:mixed|eff:no|tok:zh|" in s2s("evaluate", *chinese, "--tokenize", "zh").out


def test_tables_count_the_same_words(chinese: tuple[str, ...]) -> None:
    tables = {one["title"]: one for one in scores_of(*chinese, "--tokenize", "char", "--tables")["tables"]}
    span, _, bleu, *_ = tables["By length of the reference"]["rows"][-1]
    long = BLEU(tokenize="char").corpus_score(ANSWERS[::2], [REFERENCES[::2]])
    assert (span, bleu) == ("4 to 11", f"{long.score:.2f}")
    counted = sum(int(row[1]) for row in tables["By frequency of words"]["rows"])
    assert counted == len("".join(REFERENCES).replace(" ", ""))


def test_a_tokenizer_that_is_not_installed(chinese: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from sacrebleu.tokenizers import tokenizer_ja_mecab

    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    refused(s2s("evaluate", *chinese, "--tokenize", "ja-mecab"), "ja-mecab", "pip install sacrebleu[ja]")
