"""Tokenizers of a run, and pairs as numbered examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2s.config import Data, Text
from s2s.corpus.examples import Drawn, Encoded, Examples, encode_pairs
from s2s.corpus.filter import Filters, apply_filters
from s2s.corpus.read import Pair
from s2s.errors import UserError
from s2s.text.subwords import Subwords
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

    def save(self, run: Path) -> None:
        """Into `RUN/text/`."""
        if self.shared:
            self.source.save(run / FOLDER, "joint")
        else:
            self.source.save(run / FOLDER, "source")
            self.target.save(run / FOLDER, "target")


def make_tokenizers(text: Text, pairs: Sequence[Pair], *, seed: int) -> Tokenizers:
    """Learn the tokenizers from the training pairs."""

    def learn(texts: list[str]) -> Tokenizer:
        return train_tokenizer(
            text.tokenizer,
            texts,
            vocab_size=text.vocab_size,
            min_count=text.min_count,
            lowercase=text.lowercase,
            character_coverage=text.character_coverage,
            seed=seed,
        )

    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    if text.shared:
        joint = learn(sources + targets)
        return Tokenizers(joint, joint)
    return Tokenizers(learn(sources), learn(targets))


def load_tokenizers(run: Path, text: Text) -> Tokenizers:
    """The tokenizers that a run was trained with."""
    if text.shared:
        joint = load_tokenizer(run / FOLDER, "joint")
        return Tokenizers(joint, joint)
    return Tokenizers(load_tokenizer(run / FOLDER, "source"), load_tokenizer(run / FOLDER, "target"))


def training_examples(
    data: Data, text: Text, pairs: Sequence[Pair], tokenizers: Tokenizers, *, seed: int
) -> tuple[Examples, str]:
    """The pairs that pass the filters, as ids, and a sentence about those that did not.

    `seed` is that of drawn subwords.

    Raises:
        UserError: none is left.
    """
    examples = encode_pairs(pairs, tokenizers.source, tokenizers.target)
    filters = Filters(
        max_source=data.max_source,
        max_target=data.max_target,
        max_ratio=data.max_ratio,
        drop_identical=data.drop_identical,
        drop_duplicates=data.drop_duplicates,
    )
    kept = apply_filters(
        pairs,
        filters,
        source_lengths=[len(example.source) for example in examples],
        target_lengths=[len(example.target) for example in examples],
    )
    if not kept.pairs:
        raise UserError(f"no training pair is left: {kept.dropped.sentence()}. Loosen the limits in [data]")
    encoded = Encoded([examples[row] for row in kept.rows])
    if not text.subword_sampling:
        return encoded, kept.dropped.sentence()
    source, target = tokenizers.source, tokenizers.target
    assert isinstance(source, Subwords), "the configuration was checked"
    assert isinstance(target, Subwords)
    lengths = encoded.source_lengths, encoded.target_lengths
    drawn = Drawn(kept.pairs, source, target, *lengths, strength=text.subword_sampling, seed=seed)
    return drawn, kept.dropped.sentence()
