"""A translator of characters with a model of known weights."""

from __future__ import annotations

from typing import Any

import torch
from tiny import tiny_model

from s2s.config.io import check
from s2s.models import Seq2Seq
from s2s.text.characters import Characters
from s2s.translator import Translator

SOURCE = Characters.train(["abcd efgh"])
TARGET = Characters.train(["vwxyz"])


def made(
    preset: str | None = "joey", *, reverse: bool = False, model: Seq2Seq | None = None, **search: Any
) -> Translator:
    if model is None:
        torch.manual_seed(1)
        size = max(len(SOURCE.vocabulary), len(TARGET.vocabulary))
        model = tiny_model(preset, core="lstm", bidirectional=True, vocabulary=size, seed=6, dtype=torch.float32)
        model.output = torch.nn.Linear(model.decoder.output_size, len(TARGET.vocabulary)).eval()
        with torch.no_grad():
            model.output.weight.mul_(4)
    config = check({"model": {"reverse_source": reverse}, "search": search}, "x")
    return Translator(
        model, SOURCE, TARGET, config=config, name="run", languages=("de", "en"), device=torch.device("cpu")
    )


def lively(**search: Any) -> Translator:
    """One whose answers have many lengths and letters."""
    translator = made("bahdanau", **search)
    torch.manual_seed(1)
    with torch.no_grad():
        translator.model.output.bias.zero_()
        translator.model.output.weight.copy_(torch.randn(translator.model.output.weight.shape) * 0.8)
        translator.model.output.bias[2] = 0.5
    return translator
