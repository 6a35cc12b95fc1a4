"""Every recipe is well-formed, and the toy recipes learn what their tables say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from s2s.build.compose import compose
from s2s.build.run import Wish, start
from s2s.build.words import describe, find_recipe, recipes
from s2s.config.io import check, merge, parse_overrides, read_toml

NAMES = sorted(recipes())


def test_the_recipes_of_the_first_release_are_there() -> None:
    assert {"date-attention", "date-seq2seq", "date-peeky", "multi30k-de-en"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_valid_and_says_its_purpose_and_command(name: str) -> None:
    path = find_recipe(name)
    config = check(read_toml(path), name)
    assert config.data.corpus or config.data.task
    assert len(describe(path)) > 20
    assert f"s2s train {name}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("core", ["lstm", "gru", "rwa", "sru", "elman"])
def test_the_attention_recipe_takes_every_core(core: str, tmp_path: Path) -> None:
    words = [f"model.core={core}", "data.train_size=300", "data.valid_size=40", "data.test_size=10"]
    words += ["model.hidden_size=24", "training.updates=3", "training.decode_limit=8", "training.plots=false"]
    end = _train("date-attention", words, tmp_path)
    assert end == "3 updates done"
    assert (tmp_path / "run" / "model.safetensors").stat().st_size > 1000


def _train(name: str, words: list[str], folder: Path) -> str:
    extra = merge({"training": {"threads": 1}}, parse_overrides(words))
    composed = compose([name], extra, Console(quiet=True))
    return start(composed.config, composed.corpus, Wish(folder=folder / "run"), Console(quiet=True))


def _exact_match(folder: Path) -> list[float]:
    lines = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["exact_match"] for row in rows if row["event"] == "valid"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("core", "epochs", "wanted"), [("lstm", 2, 0.999), ("gru", 5, 0.999), ("rwa", 2, 0.99), ("elman", 2, 0.99)]
)
def test_dates_are_learned(core: str, epochs: int, wanted: float, tmp_path: Path) -> None:
    words = [f"model.core={core}", f"training.epochs={epochs}", "training.plots=false", "training.threads=2"]
    _train("date-attention", words, tmp_path)
    assert _exact_match(tmp_path)[-1] >= wanted
