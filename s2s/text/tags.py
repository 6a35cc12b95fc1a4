"""Language tags: a source begins with a token of the language that is wanted (Johnson et al. 2017, arXiv 1611.04558).

The token `<2fr>` is reserved in the vocabulary of the sources, right behind the four specials. No text becomes it, not
even one that spells it: tokenizers split such a text like any other. Only `Tagged` puts it in front.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from s2s.errors import UserError
from s2s.text.tokenizer import Kind, Tokenizer
from s2s.text.vocab import SPECIALS, Vocabulary

_TAG = re.compile(r"<2([\w-]+)>")


def tag(language: str) -> str:
    """The token of a language.

    Raises:
        UserError: the code holds other characters than letters, digits, `_` and `-`.
    """
    if not _TAG.fullmatch(written := f"<2{language}>"):
        raise UserError(f"{language!r}: expected a language code of letters, digits, _ and -, such as pt_BR; rename it")
    return written


def tags_of(vocabulary: Vocabulary) -> dict[str, int]:
    """Each language that has a tag in the vocabulary, with the id of the tag."""
    found: dict[str, int] = {}
    for number, token in enumerate(vocabulary.tokens[len(SPECIALS) :], start=len(SPECIALS)):
        if not (match := _TAG.fullmatch(token)):
            break
        found[match[1]] = number
    return found


@dataclass(frozen=True)
class Tagged:
    """A tokenizer of sources that puts the tag of a language before each text. UserError for an unknown language."""

    base: Tokenizer
    language: str

    def __post_init__(self) -> None:
        if self.language not in (known := tags_of(self.vocabulary)):
            raise UserError(f"{self.language[:40]!r}: no language of this model; it writes {', '.join(known)}")

    @property
    def kind(self) -> Kind:
        return self.base.kind

    @property
    def vocabulary(self) -> Vocabulary:
        return self.base.vocabulary

    @cached_property
    def id(self) -> int:
        """The tag's."""
        return tags_of(self.vocabulary)[self.language]

    def encode(self, text: str) -> list[int]:
        return [self.id, *self.base.encode(text)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [[self.id, *ids] for ids in self.base.encode_batch(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        return self.base.decode([i for i in ids if i != self.id])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.base.pieces(ids)

    def save(self, folder: Path, name: str) -> None:
        self.base.save(folder, name)
