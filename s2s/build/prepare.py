"""Everything that a run needs, read, checked and built before its first file is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from s2s.build.corpus import Corpus, named_languages
from s2s.build.embeddings import fill_embeddings
from s2s.build.folder import RunFolder
from s2s.build.load import check_vocabulary
from s2s.build.machine import set_up
from s2s.build.model import build_model
from s2s.build.say import say
from s2s.build.text import Tokenizers, load_tokenizers, make_tokenizers, refuse_unmarked, training_examples
from s2s.config import Config
from s2s.corpus.examples import Example, Examples, encode_pairs
from s2s.corpus.mix import Mix
from s2s.metrics import LOWERED
from s2s.models import Seq2Seq
from s2s.text.vocab import UNK
from s2s.training.checkpoint import load_weights
from s2s.training.hardware import give_back_pages
from s2s.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Prepared:
    """The parts of a run. `identity` is what a resumed run must share with it."""

    config: Config
    corpus: Corpus
    tokenizers: Tokenizers
    examples: Examples
    mix: Mix | None
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
    processes: Processes = ALONE,
) -> Prepared:
    """Tokenizers, examples and a fresh (or taken-over) model."""
    training = config.training
    refuse_unmarked(config.text, corpus)
    machine = set_up(training, threads, processes)
    if init_from is not None:
        tokenizers = load_tokenizers(init_from, config.text)
    fresh = tokenizers is None
    if tokenizers is None:
        tokenizers = processes.alone(lambda: make_tokenizers(config.text, corpus, seed=training.seed))
        give_back_pages()  # SentencePiece may have held a million texts
    examples, mix, notes = training_examples(config, corpus, tokenizers)
    valid = encode_pairs(
        corpus.valid, tokenizers.reading(corpus.target_lang), tokenizers.target, extended=config.model.copying
    )
    sizes = len(tokenizers.source.vocabulary), len(tokenizers.target.vocabulary)
    model = build_model(config.model, source_vocabulary=sizes[0], target_vocabulary=sizes[1])
    if init_from is not None:
        check_vocabulary(load_weights(RunFolder(init_from).weights, model), tokenizers, RunFolder(init_from))
        _say_unknown(examples, init_from, console)
    identity = machine.identity(config, corpus.sha256)
    filled = fill_embeddings(config.model, model, tokenizers, corpus.train) if fresh else []
    for note in [*corpus.notes, *notes, *filled, *([LOWERED] if config.text.lowercase else [])]:
        say(console, note)
    say(
        console,
        f"{len(examples.source_lengths):,} training pairs, vocabularies of {sizes[0]:,} and {sizes[1]:,}"
        f" ({config.text.tokenizer}), {machine.describe(config, model)}",
    )
    config = config.model_copy(update={"data": named_languages(config.data, corpus)})
    return Prepared(config, corpus, tokenizers, examples, mix, valid, model.to(machine.device), identity)


def _say_unknown(examples: Examples, init_from: Path, console: Console) -> None:
    count = len(examples.source_lengths)
    rows = range(0, count, 1 + count // 1_000_000)  # a million say as much as a hundred
    total = sum(int(lengths[:: rows.step].sum()) for lengths in (examples.source_lengths, examples.target_lengths))
    parts = (examples.take(rows[start : start + 10_000], 0) for start in range(0, len(rows), 10_000))
    unknown = sum(list(side).count(UNK) for part in parts for one in part for side in (one.source, one.target))
    if unknown:
        share = 100 * unknown / max(total, 1)
        say(console, f"warning: {share:.1f} % of the tokens are not in the vocabulary of {init_from}")
