"""docs/models.md: its configuration builds, its key names exist, its table is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from s2s.build.dialogue_model import build_dialogue_model
from s2s.build.model import build_model
from s2s.config.io import all_keys, check

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


PAIRS, DIALOGUES = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_configuration_builds() -> None:
    config = check(tomllib.loads(PAIRS), "docs/models.md")
    model = build_model(config.model, source_vocabulary=9, target_vocabulary=9)
    assert (len(model.encoder.stack.layers), len(model.decoder.stack.layers)) == (3, 2)
    assert (model.encoder.embedding.word_dropout, model.decoder.embedding.word_dropout) == (0.0, 0.1)


def test_the_model_of_dialogues_builds() -> None:
    config = check(tomllib.loads(DIALOGUES), "docs/models.md")
    model = build_dialogue_model(config.model, vocabulary=9, bag=config.training.bag_of_words > 0)
    assert (model.encoder.output_size, model.context.output_size) == (512, 512)
    assert model.latent is not None
    assert model.latent.size == 100
    assert model.bag is not None


def test_keys_that_are_named_exist() -> None:
    known = {key.rpartition(".")[2] for key in all_keys()} | set(all_keys())
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)(?: = [^`]*)?`", PAGE)
    values = {"luong", "book", "bahdanau", "joey", "none", "source", "target", "both", "tanh", "deep"}
    assert len(set(named)) > 15
    assert set(named) - known - values == set()
