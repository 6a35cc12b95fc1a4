"""Tokenizers of a run, and pairs as numbered examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s2s.build.corpus import Corpus, Part
from s2s.config import Config, Text
from s2s.corpus.examples import Drawn, Encoded, Examples, Ints, encode_pairs
from s2s.corpus.filter import Dropped, Filters, apply_filters, filter_rows
from s2s.corpus.mapped.lengths import token_lengths
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.mix import Mix, TaggedExamples
from s2s.corpus.read import Pair
from s2s.errors import UserError
from s2s.text.subwords import LARGEST_SAMPLE
from s2s.text.tags import Tagged, tag, tags_of
from s2s.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

FOLDER = "text"


@dataclass(frozen=True)
class Tokenizers:
    """One tokenizer a side; the same object where the vocabulary is shared."""

    source: Tokenizer
    target: Tokenizer

    @property
    def shared(self) -> bool:
        return self.source is self.target

    @property
    def hash(self) -> str:
        """Identifies both vocabularies; the weights carry it."""
        return f"{self.source.vocabulary.sha256[:32]}{self.target.vocabulary.sha256[:32]}"

    def reading(self, target_lang: str) -> Tokenizer:
        """The tokenizer of sources that are to be translated to a language: with its tag, if the vocabulary has tags.

        Raises:
            UserError: it has tags, but not of this language.
        """
        return Tagged(self.source, target_lang) if tags_of(self.source.vocabulary) else self.source

    def save(self, run: Path) -> None:
        """Into `RUN/text/`."""
        if self.shared:
            self.source.save(run / FOLDER, "joint")
        else:
            self.source.save(run / FOLDER, "source")
            self.target.save(run / FOLDER, "target")


def make_tokenizers(text: Text, corpus: Corpus, *, seed: int) -> Tokenizers:
    """Learn the tokenizers from the training pairs."""
    pairs = _to_learn_from(corpus.train, text, seed)
    tags = [tag(language) for language in corpus.targets] if text.tags else []

    learn = partial(learn_tokenizer, text, seed=seed)
    sources, targets = (pair.source for pair in pairs), (pair.target for pair in pairs)
    if text.shared:
        joint = learn(chain(sources, targets), reserved=tags)
        return Tokenizers(joint, joint)
    return Tokenizers(learn(sources, reserved=tags), learn(targets))


def learn_tokenizer(text: Text, texts: Iterable[str], *, seed: int, reserved: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer as `[text]` says, from texts."""
    return train_tokenizer(
        text.tokenizer,
        texts,
        vocab_size=text.vocab_size,
        min_count=text.min_count,
        lowercase=text.lowercase,
        character_coverage=text.character_coverage,
        seed=seed,
        reserved=reserved,
    )


def _to_learn_from(pairs: Sequence[Pair], text: Text, seed: int) -> Sequence[Pair]:
    """SentencePiece holds what it learns from in memory, so of a mapped corpus it gets no more than it would take."""
    if not isinstance(pairs, MappedPairs) or text.tokenizer in ("characters", "words", "spaces"):
        return pairs
    return pairs.sample(LARGEST_SAMPLE // (2 if text.shared else 1), seed=seed)


def load_tokenizers(run: Path, text: Text) -> Tokenizers:
    """The tokenizers that a run was trained with."""
    if text.shared:
        joint = load_tokenizer(run / FOLDER, "joint")
        return Tokenizers(joint, joint)
    return Tokenizers(load_tokenizer(run / FOLDER, "source"), load_tokenizer(run / FOLDER, "target"))


class Training(NamedTuple):
    """Training pairs as ids, the shares of their corpora (None: every pair once an epoch), and what to tell of them."""

    examples: Examples
    mix: Mix | None
    notes: list[str]


def refuse_unmarked(text: Text, corpus: Corpus) -> None:
    """UserError where a model would have to guess the language that is wanted."""
    if len(corpus.targets) > 1 and not text.tags:
        raise UserError(
            f"the training pairs have several target languages ({', '.join(corpus.targets)}), and nothing tells a model"
            " which one is wanted: set text.tags = true, or mend target_lang in [data] and [[data.mix]]"
        )


def training_examples(config: Config, corpus: Corpus, tokenizers: Tokenizers) -> Training:
    """The pairs that pass the filters.

    Raises:
        UserError: none is left.
    """
    data, pairs = config.data, corpus.train
    filters = Filters(
        max_source=data.max_source,
        max_target=data.max_target,
        max_ratio=data.max_ratio,
        drop_identical=data.drop_identical,
        drop_duplicates=data.drop_duplicates,
    )
    if isinstance(pairs, MappedPairs):
        examples, rows, dropped = _mapped(config, filters, pairs, tokenizers)
    else:
        examples, rows, dropped = _held(config, filters, pairs, tokenizers)
    if not len(rows):
        raise UserError(f"no training pair is left: {dropped.sentence()}. Loosen the limits in [data]")
    mix, notes = _mix(corpus.parts, rows)
    return Training(_tagged(corpus.parts, rows, examples, tokenizers), mix, [dropped.sentence(), *notes])


_Kept = tuple[Examples, Sequence[int] | Ints, Dropped]
"""The examples that pass the filters, their rows in the corpus, and what was dropped."""


def _held(config: Config, filters: Filters, pairs: Sequence[Pair], tokenizers: Tokenizers) -> _Kept:
    """Encoded once, and held in memory."""
    examples = encode_pairs(pairs, tokenizers.source, tokenizers.target, extended=config.model.copying)
    kept = apply_filters(
        pairs,
        filters,
        source_lengths=[len(example.source) for example in examples],
        target_lengths=[len(example.target) for example in examples],
    )
    encoded = Encoded([examples[row] for row in kept.rows])
    if not config.text.subword_sampling:
        return encoded, kept.rows, kept.dropped
    drawn = _drawn(config, kept.pairs, tokenizers, encoded.source_lengths, encoded.target_lengths)
    return drawn, kept.rows, kept.dropped


def _mapped(config: Config, filters: Filters, pairs: MappedPairs, tokenizers: Tokenizers) -> _Kept:
    """Encoded when their batch is made."""
    lengths = token_lengths(pairs, tokenizers.source, tokenizers.target)
    rows, dropped = filter_rows(pairs.facts(filters), filters, lengths[:, 0], lengths[:, 1])
    lengths = lengths[rows]
    return _drawn(config, pairs.select(rows), tokenizers, lengths[:, 0], lengths[:, 1]), rows, dropped


def _drawn(config: Config, pairs: Sequence[Pair], tokenizers: Tokenizers, sources: Ints, targets: Ints) -> Drawn:
    strength, extended = config.text.subword_sampling, config.model.copying
    sides = tokenizers.source, tokenizers.target
    return Drawn(pairs, *sides, sources, targets, strength=strength, seed=config.training.seed, extended=extended)


def _tagged(parts: Sequence[Part], rows: Sequence[int] | Ints, examples: Examples, tokenizers: Tokenizers) -> Examples:
    """Examples whose sources begin with the tag of their part's target language, if the vocabulary has tags.

    Raises:
        UserError: a language has none.
    """
    if not tags_of(tokenizers.source.vocabulary):
        return examples
    tags = [Tagged(tokenizers.source, part.target_lang).id for part in parts]
    small = np.asarray(tags, np.min_scalar_type(max(tags)))
    return TaggedExamples(examples, np.repeat(small, _left(parts, rows)))


def _left(parts: Sequence[Part], rows: Sequence[int] | Ints) -> list[int]:
    """How many pairs of each part are among `rows`."""
    ends = np.cumsum([part.pairs for part in parts])
    return [int(pairs) for pairs in np.diff(np.searchsorted(rows, ends), prepend=0)]


def _mix(parts: Sequence[Part], rows: Sequence[int] | Ints) -> tuple[Mix | None, list[str]]:
    """Shares of the corpora, and a line about each, when `rows` of them are left."""
    if len(parts) == 1:
        return None, []
    left = _left(parts, rows)
    for part, pairs in zip(parts, left, strict=True):
        if not pairs:
            raise UserError(f"{part.name}: no training pair of it is left. Loosen the limits in [data], or drop it")
    weights = [part.weight for part in parts if part.weight is not None]
    mix = Mix(tuple(left), tuple(weights)) if weights else None
    return mix, [
        f"an epoch has {count:,} pairs of {part.name} ({part.source_lang} to {part.target_lang}, {pairs:,} pairs)"
        for part, pairs, count in zip(parts, left, mix.counts() if mix else left, strict=True)
    ]
