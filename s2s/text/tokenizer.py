"""What every tokenizer offers, and the two ways to get one: trained on texts, or loaded from a run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, assert_never

from s2s.text.vocab import Vocabulary

Kind = Literal["characters", "words", "spaces", "unigram", "bpe"]


class Tokenizer(Protocol):
    """Text to ids and back. Immutable; the four ids of `s2s.text.vocab` mean the same in all of them."""

    @property
    def kind(self) -> Kind: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    def encode(self, text: str) -> list[int]:
        """The ids of one text, without BOS and EOS; what is not known becomes UNK."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`[encode(text) for text in texts]`, faster."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids up to the first EOS; PAD and BOS are skipped, UNK reads `<unk>`."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """One printable piece an id, for pictures and logs; nothing is skipped."""

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>.json` (and `<name>.model` for SentencePiece) into the folder, which is made if need be."""


def train_tokenizer(
    kind: Kind,
    texts: Iterable[str],
    *,
    vocab_size: int | None = None,
    min_count: int = 1,
    lowercase: bool = False,
    character_coverage: float = 1.0,
    seed: int = 1,
    threads: int = 4,
    reserved: Sequence[str] = (),
) -> Tokenizer:
    """Learn a tokenizer from texts; the same arguments give the same tokenizer on every machine.

    `vocab_size` counts the four specials; None means all tokens (characters, words) or 8,000 (SentencePiece), and a
    small corpus may give fewer than asked. `min_count` is of characters and words, `character_coverage`, `seed` (of the
    sample that is taken from a very large corpus) and `threads` (their number, not their timing, changes the
    last digits of unigram scores) of SentencePiece. `reserved` tokens (neither words nor characters) have the ids from
    4 on and come from no text, even if it spells them. UserError when there is no text or the size is too small for the
    characters.
    """
    match kind:
        case "characters":
            from s2s.text.characters import Characters

            return Characters.train(
                texts, vocab_size=vocab_size, min_count=min_count, lowercase=lowercase, reserved=reserved
            )
        case "words" | "spaces":
            from s2s.text.words import Words

            return Words.train(
                texts, kind=kind, vocab_size=vocab_size, min_count=min_count, lowercase=lowercase, reserved=reserved
            )
        case "unigram" | "bpe":
            from s2s.text.subwords import Subwords

            return Subwords.train(
                kind,
                texts,
                vocab_size=vocab_size,
                lowercase=lowercase,
                character_coverage=character_coverage,
                seed=seed,
                threads=threads,
                reserved=reserved,
            )
        case _:
            assert_never(kind)


def load_tokenizer(folder: Path, name: str) -> Tokenizer:
    """The tokenizer that `save(folder, name)` wrote. UserError when a file is missing, damaged or does not fit."""
    from s2s.text.characters import Characters
    from s2s.text.saved import read_saved
    from s2s.text.subwords import Subwords
    from s2s.text.words import Words

    saved = read_saved(Path(folder), name)
    match saved.kind:
        case "characters":
            return Characters.restore(saved)
        case "words" | "spaces":
            return Words.restore(saved, saved.kind)
        case "unigram" | "bpe":
            return Subwords.restore(saved)
        case _:
            assert_never(saved.kind)
