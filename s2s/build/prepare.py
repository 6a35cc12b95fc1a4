"""Everything that a run needs, read, checked and built before its first file is written."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from s2s.build.corpus import Corpus
from s2s.build.embeddings import fill_embeddings
from s2s.build.folder import RunFolder
from s2s.build.load import check_vocabulary
from s2s.build.model import build_model
from s2s.build.say import say
from s2s.build.text import Tokenizers, load_tokenizers, make_tokenizers, training_examples
from s2s.config import Config
from s2s.corpus.examples import Example, Examples, encode_pairs
from s2s.corpus.split import corpus_hash
from s2s.metrics import LOWERED
from s2s.models import Seq2Seq
from s2s.text.vocab import UNK
from s2s.training.checkpoint import load_weights
from s2s.training.hardware import keep_pages, pick_device, pick_precision, set_threads


@dataclass(frozen=True)
class Prepared:
    """The parts of a run. `identity` is what a resumed run must share with it."""

    config: Config
    corpus: Corpus
    tokenizers: Tokenizers
    examples: Examples
    valid: Sequence[Example]
    model: Seq2Seq
    identity: dict[str, Any]


def prepare(
    config: Config,
    corpus: Corpus,
    console: Console,
    *,
    init_from: Path | None = None,
    tokenizers: Tokenizers | None = None,
    threads: int | None = None,
) -> Prepared:
    """Tokenizers, examples and a fresh (or taken-over) model."""
    training = config.training
    keep_pages()
    threads = set_threads(threads or training.threads)
    device = pick_device(training.device)
    precision = pick_precision(training.precision, device)
    random.seed(training.seed)
    torch.manual_seed(training.seed)
    if init_from is not None:
        tokenizers = load_tokenizers(init_from, config.text)
    fresh = tokenizers is None
    if tokenizers is None:
        tokenizers = make_tokenizers(config.text, corpus.train, seed=training.seed)
    examples, dropped = training_examples(config.data, config.text, corpus.train, tokenizers, seed=training.seed)
    valid = encode_pairs(corpus.valid, tokenizers.source, tokenizers.target)
    sizes = len(tokenizers.source.vocabulary), len(tokenizers.target.vocabulary)
    model = build_model(config.model, source_vocabulary=sizes[0], target_vocabulary=sizes[1])
    if init_from is not None:
        check_vocabulary(load_weights(RunFolder(init_from).weights, model), tokenizers, RunFolder(init_from))
        _say_unknown(examples, init_from, console)
    identity = {
        "corpus": corpus_hash([*corpus.train, *corpus.valid]),
        "threads": threads,
        "world_size": 1,
        "torch": torch.__version__,
        "device": device.type,
        "precision": precision,
    }
    filled = fill_embeddings(config.model, model, tokenizers) if fresh else []
    for note in [*corpus.notes, dropped, *filled, *([LOWERED] if config.text.lowercase else [])]:
        say(console, note)
    _say_model(config, model, sizes, examples, identity, console)
    data = config.data.model_copy(update={"source_lang": corpus.source_lang, "target_lang": corpus.target_lang})
    config = config.model_copy(update={"data": data})
    return Prepared(config, corpus, tokenizers, examples, valid, model.to(device), identity)


def _say_model(
    config: Config,
    model: Seq2Seq,
    sizes: tuple[int, int],
    examples: Examples,
    identity: Mapping[str, Any],
    console: Console,
) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    place = f"{identity['device']}, {identity['precision']}"
    if identity["device"] == "cpu":
        place += f", {identity['threads']} threads" if identity["threads"] > 1 else ", 1 thread"
    say(
        console,
        f"{len(examples.source_lengths):,} training pairs, vocabularies of {sizes[0]:,} and {sizes[1]:,}"
        f" ({config.text.tokenizer}), {parameters:,} parameters ({config.model.core}); {place}",
    )


def _say_unknown(examples: Examples, init_from: Path, console: Console) -> None:
    total = int(examples.source_lengths.sum() + examples.target_lengths.sum())
    count = len(examples.source_lengths)
    parts = (examples.take(range(row, min(row + 10_000, count)), 0) for row in range(0, count, 10_000))
    unknown = sum(list(side).count(UNK) for part in parts for one in part for side in (one.source, one.target))
    if unknown:
        share = 100 * unknown / max(total, 1)
        say(console, f"warning: {share:.1f} % of the tokens are not in the vocabulary of {init_from}")
