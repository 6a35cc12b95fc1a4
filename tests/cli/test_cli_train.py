"""`s2s train`: recipes, files of every kind, choices without a configuration, what is said and written."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, ran, refused, s2s, same_run, train

QUICK = (*SMALL, "training.epochs=1")
PAIRS = [tuple(line.split("\t")) for line in PHRASES.read_text(encoding="utf-8").splitlines()]


def _tsv() -> bytes:
    return PHRASES.read_bytes()


def _json_lines() -> bytes:
    return "".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in PAIRS).encode()


def _side(column: int) -> bytes:
    return "".join(pair[column] + "\n" for pair in PAIRS).encode()


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the sample phrases without any configuration but sizes."""
    run = tmp_path_factory.mktemp("phrases") / "run"
    train(PHRASES, "-o", run, *QUICK)
    return run


def test_a_recipe_leaves_a_whole_run(dates: Path) -> None:
    names = {path.name for path in dates.iterdir()}
    assert {"config.toml", "run.json", "model.safetensors", "metrics.jsonl", "scores.json", "README.md"} <= names
    assert not [name for name in names if name.startswith(".")]
    rows = [json.loads(line) for line in (dates / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["event"] == "valid"] == [7, 14]
    assert json.loads((dates / "scores.json").read_text())["n"] == 20


def test_recipe_named_like_a_folder_that_is_there(here: Path) -> None:
    (here / "date-attention").mkdir()
    train("date-attention", *QUICK, "data.train_size=40", "data.valid_size=4", "data.test_size=4")
    assert (here / "runs" / "date-attention" / "model.safetensors").is_file()


def test_choices_and_reasons_are_said_and_written(here: Path) -> None:
    said = train(PHRASES, "-o", "run", *QUICK).err
    assert "62 pairs in" in said
    assert re.search(r'text.tokenizer = "unigram"  \(.*subwords\)', said)
    assert "text.shared = true" in said
    assert "model.hidden_size" not in said  # the user's own choice
    assert "held out 6 of 62 pairs" in said
    text = (here / "run" / "config.toml").read_text(encoding="utf-8")
    assert 'tokenizer = "unigram" #' in text
    config = tomllib.loads(text)
    assert config["data"]["source_lang"], config["data"]["target_lang"] == ("de", "en")
    assert config["model"]["hidden_size"] == 16


def test_the_written_configuration_reproduces_the_run(here: Path, phrases: Path) -> None:
    train(phrases / "config.toml", "-o", "again")
    assert same_run(phrases, here / "again")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pairs.tsv.gz": lambda: gzip.compress(_tsv())}, ["pairs.tsv.gz"]),
        ({"pairs.jsonl": _json_lines}, ["pairs.jsonl"]),
        ({"pairs.jsonl.gz": lambda: gzip.compress(_json_lines())}, ["pairs.jsonl.gz"]),
        ({"train.de": lambda: _side(0), "train.en": lambda: _side(1)}, ["train.de", "train.en"]),
        (
            {"a.de.gz": lambda: gzip.compress(_side(0)), "a.en.gz": lambda: gzip.compress(_side(1))},
            ["a.de.gz", "a.en.gz"],
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_every_kind_of_file_trains_the_same_model(
    here: Path, phrases: Path, files: dict[str, Callable[[], bytes]], words: list[str]
) -> None:
    for name, content in files.items():
        (here / name).write_bytes(content())
    train(*words, "-o", "run", *QUICK)
    assert same_run(phrases, here / "run")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_standard_input_is_kept_in_the_run(here: Path, phrases: Path, packed: bool) -> None:
    said = train("-", "-o", "run", *QUICK, stdin=gzip.compress(_tsv()) if packed else _tsv()).err
    assert "62 pairs in standard input" in said
    assert same_run(phrases, here / "run")
    train("run/config.toml", "-o", "again")  # standard input is empty now
    assert same_run(phrases, here / "again")
    train("--resume", "run", "training.epochs=2")
    train(PHRASES, "-o", "longer", *QUICK, "training.epochs=2")
    assert (here / "run/checkpoints/latest").read_text() == (here / "longer/checkpoints/latest").read_text()


def test_validation_and_test_files(here: Path) -> None:
    for name, part in (("train", PAIRS[:40]), ("valid", PAIRS[40:50]), ("test", PAIRS[50:])):
        for column, language in enumerate(("de", "en")):
            (here / f"{name}.{language}").write_text("".join(pair[column] + "\n" for pair in part), encoding="utf-8")
    files = ("--valid", "valid.de", "--valid", "valid.en", "--test", "test.de", "--test", "test.en")
    said = train("train.de", "train.en", *files, "-o", "run", *QUICK).err
    assert "40 training pairs" in said
    assert "test: 12 pairs" in said
    assert json.loads((here / "run/run.json").read_text())["languages"] == ["de", "en"]


@pytest.mark.parametrize("count", [2, 3, 10, 60])
def test_tiny_corpora_train(here: Path, count: int) -> None:
    (here / "tiny.tsv").write_text("".join("\t".join(pair) + "\n" for pair in PAIRS[:count]), encoding="utf-8")
    train("tiny.tsv", "-o", "run", *QUICK)
    assert s2s("translate", "run", stdin=b"Guten Morgen!\n").out.count("\n") == 1


def test_one_pair_is_too_little(here: Path) -> None:
    (here / "one.tsv").write_text("a\tb\n")
    refused(s2s("train", "one.tsv"), "1 of 1 pair (1 different source)", "validation")
    assert not (here / "runs").exists()


def test_a_log_has_plain_whole_lines(here: Path) -> None:
    words = (*SMALL, "training.epochs=2", "training.samples=1", "training.validate_every=none")
    said = ran("train", PHRASES, "-o", "run", *words, folder=here).err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said)
    lines = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"epoch \d, update \d+, \d+ s: loss \d\.\d+  .*bleu \d", line), line
    assert any(len(line) > 80 for line in said.splitlines())
    assert "Try: s2s translate run" in said


def test_a_terminal_gets_a_progress_bar(here: Path) -> None:
    pty = pytest.importorskip("pty")
    import os
    import subprocess
    import sys

    from cli_tools import environment, program

    leader, follower = pty.openpty()
    words = program("train", "date-attention", *SMALL, "training.epochs=1", "data.train_size=3000", "-o", "run")
    variables = environment(TERM="xterm-256color", COLUMNS="160")
    with subprocess.Popen(words, cwd=here, env=variables, stderr=follower, stdout=subprocess.DEVNULL) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65536):
                shown += chunk
        except OSError:  # how a terminal says that nobody writes to it any more
            assert sys.platform != "win32"
        process.wait(60)
    os.close(leader)
    assert process.returncode == 0
    text = shown.decode("utf-8")
    assert re.search(r"epoch 1.*updates.*loss \d\.\d.*tokens/s.*\d:\d\d", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


def test_own_core_from_the_current_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine.py").write_text(
        "from s2s.cores import Elman\n\n\nclass Slow(Elman):\n"
        "    def step(self, g_BG, state, prepared):\n"
        "        (h_BH,) = state\n"
        "        return (0.5 * h_BH + 0.5 * super().step(g_BG, state, prepared)[0],)\n"
    )
    words = ("date-attention", *QUICK, "data.train_size=40", "data.valid_size=4", "data.test_size=4", "-o", "run")
    assert ran("train", *words, "model.core=python:mine:Slow", folder=here).code == 0
    assert ran("translate", "run", folder=here, stdin=b"May 1, 2001\n").out.count("\n") == 1
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    refused(s2s("translate", "../run"), "python:mine:Slow", "No module named 'mine'", "folder")


@pytest.mark.parametrize(
    ("core", "parts"),
    [
        ("python:nowhere:Cell", ["No module named 'nowhere'"]),
        ("python:pathlib:Nothing", ["no attribute 'Nothing'"]),
        ("python:pathlib:Path", ["not a subclass of s2s.cores.Cell"]),
        ("python:pathlib", ["model.core", "python:package.module:Class"]),
    ],
)
def test_own_core_that_is_none(here: Path, core: str, parts: list[str]) -> None:
    refused(s2s("train", PHRASES, "-o", "run", *QUICK, f"model.core={core}"), *parts)
    assert not (here / "run").exists()
