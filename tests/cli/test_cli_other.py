"""What the other verbs say, and that help comes at once."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_tools import environment, ran, refused, s2s

import s2s as package


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom s2s.cli import main\nsys.argv = ['s2s', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'fastapi', 'sacrebleu'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"train" in done.stdout


@pytest.mark.parametrize("verb", ["train", "evaluate", "translate", "serve", "recipes", "data list", "config show"])
def test_every_verb_explains_itself(verb: str) -> None:
    result = s2s(*verb.split(), "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: s2s {verb}")


def test_version() -> None:
    assert s2s("--version").out == f"s2s {package.__version__}\n"


def test_unknown_verb() -> None:
    refused(s2s("trian"), "trian")


def test_recipes() -> None:
    lines = s2s("recipes").out.splitlines()
    assert any(line.startswith("date-attention ") and len(line.split()) > 3 for line in lines)
    assert any(line.startswith("adding-100-curves ") and len(line.split()) > 3 for line in lines)


def test_data_list() -> None:
    assert {"multi30k", "dates"} <= {line.split()[0] for line in s2s("data", "list").out.splitlines()}


def test_data_fetch_of_an_unknown_corpus() -> None:
    refused(s2s("data", "fetch", "multi40k"), "multi40k", "multi30k")


def test_data_fetch_without_a_network(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    variables = {"http_proxy": nowhere, "https_proxy": nowhere, "HTTPS_PROXY": nowhere, "no_proxy": ""}
    result = ran("data", "fetch", "multi30k", folder=tmp_path, S2S_CACHE=str(tmp_path / "cache"), **variables)
    refused(result, "multi30k", "--from")


def test_data_fetch_from_a_folder_without_the_files(tmp_path: Path) -> None:
    refused(s2s("data", "fetch", "multi30k", "--from", tmp_path), str(tmp_path))


def test_config_show(dates: Path) -> None:
    recipe = tomllib.loads(s2s("config", "show", "date-attention", "model.core=gru").out)
    assert recipe["model"]["core"] == "gru"
    assert recipe["training"]["optimizer"] == "adam"  # a default
    run = s2s("config", "show", dates).out
    assert tomllib.loads(run) == tomllib.loads((dates / "config.toml").read_text())
    assert s2s("config", "show", dates / "config.toml").out == run


def test_config_show_of_nothing(tmp_path: Path) -> None:
    refused(s2s("config", "show", "date-atention"), "date-attention?")
    refused(s2s("config", "show", tmp_path), "not a run directory")
    refused(s2s("config", "show", "date-attention", "date-peeky"), "expected one recipe or run, got 2")
    refused(s2s("config", "show", "model.core=gru"), "expected one recipe or run, got 0")


def test_config_explain() -> None:
    whole = s2s("config", "explain").out
    section = s2s("config", "explain", "training").out
    assert "training.epochs = 10\n    Passes over the training pairs." in section
    assert section in whole
    assert "model.core" not in section
    refused(s2s("config", "explain", "training.epoch"), "training.epochs?")


def test_messages_are_taken_literally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(s2s("train", "[bold]:smile:[/x].tsv"), "[bold]:smile:[/x].tsv: no such file")
