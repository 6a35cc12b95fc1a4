"""From a run directory to a model that answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from s2s.build.corpus import directions_of
from s2s.build.dialogue_model import build_dialogue_model
from s2s.build.dialogues import holds_dialogues
from s2s.build.folder import RunFolder
from s2s.build.model import build_model
from s2s.build.shortlist import load_candidates
from s2s.build.text import Tokenizers, load_tokenizers
from s2s.config import Config
from s2s.errors import UserError
from s2s.models import HRED, Seq2Seq
from s2s.models.compact import slim
from s2s.text.tokenizer import Tokenizer
from s2s.text.turns import Turns
from s2s.training.checkpoint import load_weights
from s2s.training.hardware import keep_pages, pick_device, pick_precision, set_threads
from s2s.translator import Translator

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "int8"]
"""Of the products: int8 is of the output layer, most of the arithmetic of an answer, beside bfloat16 elsewhere."""


def make_translator(
    folder: RunFolder, config: Config, model: Seq2Seq | HRED, tokenizers: Tokenizers, device: torch.device
) -> Translator:
    directions = directions_of(config.data)
    speaks = holds_dialogues(config)
    return Translator(
        model,
        reading(config, tokenizers.target) if speaks else tokenizers.reading(directions[0][1]),
        tokenizers.target,
        config=config,
        name=config.name or folder.path.resolve().name,
        languages=directions[0],
        directions=directions,
        device=device,
        candidates=load_candidates(folder, tokenizers),
    )


def reading(config: Config, tokenizer: Tokenizer) -> Turns:
    """The tokenizer of what was said so far; a flat model reads no more of it than it was trained on."""
    if config.model.of_dialogues:
        return Turns(tokenizer)
    return Turns(tokenizer, config.data.context_turns, config.data.max_source)


def new_model(config: Config, tokenizers: Tokenizers) -> Seq2Seq | HRED:
    """A freshly initialised model of pairs or dialogues.

    Raises:
        UserError: the sizes don't fit each other.
    """
    source, target = len(tokenizers.source.vocabulary), len(tokenizers.target.vocabulary)
    if config.model.of_dialogues:
        return build_dialogue_model(config.model, vocabulary=target, bag=bool(config.training.bag_of_words))
    return build_model(config.model, source_vocabulary=source, target_vocabulary=target)


def load_translator(
    path: Path, *, device: Device = "auto", threads: int | None = None, precision: Precision = "float32"
) -> Translator:
    """The best model of a run, only to answer. The process keeps the memory that answering frees (`keep_pages`).

    Raises:
        UserError: the folder is no run, or its parts are missing, damaged or don't belong together; int8 on a GPU.
    """
    folder = RunFolder(path)
    config, about = folder.read()
    if config.data.task:
        raise UserError(
            f"{path}: answers the sequence task {config.data.task} and reads no text; look at it with `s2s evaluate"
            f" {path}` and `s2s plot {path}`"
        )
    tokenizers = load_tokenizers(folder.path, config.text)
    check_vocabulary(about, tokenizers, folder)
    keep_pages()
    set_threads(threads)
    place = pick_device(device)
    model = new_model(config, tokenizers)
    check_vocabulary(load_weights(folder.weights, model), tokenizers, folder)
    model.requires_grad_(False)  # its matrices may be packed (`kernels/steps.py`)
    _lower(model, precision, place)
    return make_translator(folder, config, model.to(place).eval(), tokenizers, place)


def _lower(model: Seq2Seq | HRED, precision: Precision, place: torch.device) -> None:
    """Make the output layer multiply in this precision, and all else in bfloat16 where it is not float32.

    Raises:
        UserError: int8 elsewhere than on a processor.
    """
    if precision == "int8" and place.type != "cpu":
        raise UserError(
            "precision 'int8' is for processors, and this model runs on a GPU; take bfloat16, or device cpu"
        )
    chosen = precision if precision == "int8" else pick_precision(precision, place)
    if chosen in ("int8", "bfloat16"):
        slim(model, chosen)


def check_vocabulary(metadata: Mapping[str, Any], tokenizers: Tokenizers, folder: RunFolder) -> None:
    """Weights (or `run.json`) and tokenizers name the same vocabulary.

    Raises:
        UserError: they don't, so the answers would be gibberish.
    """
    if metadata.get("vocabulary") != tokenizers.hash:
        raise UserError(
            f"{folder.path}: the weights were trained with another vocabulary than the one in {folder.path / 'text'};"
            " put the files of one run together again"
        )
