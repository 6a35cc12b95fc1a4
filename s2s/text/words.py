"""Words and punctuation as tokens. A joiner mark on the punctuation remembers where no space was:

    Don't wait, (he) said!   ->   Don ￭'￭ t wait ￭, (￭ he ￭) said ￭!

so that decoding gives the text back up to runs of white space. A mark that stands in the text itself is written as
`％ffed`, and the percent sign of that spelling as `％ff05`.

Or, of the kind `spaces`, what stands between spaces as tokens: `Don't`, `wait,`. There a chunk that looks like a mark
(`<s>`) begins with `％003c`, so that no text spells a mark.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2s.errors import UserError
from s2s.text.ids import content
from s2s.text.saved import Saved, write_saved
from s2s.text.vocab import Vocabulary

JOINER = "￭"
_ESCAPES = {JOINER: "％ffed", "％": "％ff05"}
_UNESCAPES = {escape: char for char, escape in {**_ESCAPES, "<": "％003c"}.items()}
_ESCAPED = re.compile("|".join(_UNESCAPES))
_MARKS = re.compile(f"[{JOINER}％]|^<(?=.*>$)")

WordKind = Literal["words", "spaces"]


@dataclass(frozen=True)
class Words:
    """Tokens are runs of letters, digits and their combining marks, or single other signs; of the kind `spaces`,
    whatever stands between white space."""

    vocabulary: Vocabulary
    lowercase: bool = False
    kind: WordKind = "words"

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: WordKind = "words",
        vocab_size: int | None = None,
        min_count: int = 1,
        lowercase: bool = False,
        reserved: Sequence[str] = (),
    ) -> Words:
        """The words of the texts, the most frequent first. UserError when there are none."""
        chunks: Counter[str] = Counter()
        for text in texts:
            chunks.update((text.lower() if lowercase else text).split())
        counts: Counter[str] = Counter()
        for chunk, count in chunks.items():
            for token in tokens_of(chunk, kind):
                counts[token] += count
        if not counts:
            raise UserError("a word tokenizer needs text, got none. Give a corpus whose lines are not all empty.")
        vocabulary = Vocabulary.from_counts(counts, max_size=vocab_size, min_count=min_count, reserved=reserved)
        return cls(vocabulary, lowercase, kind)

    @classmethod
    def restore(cls, saved: Saved, kind: WordKind) -> Words:
        """From its file; UserError when it is damaged."""
        return cls(saved.vocabulary(), saved.flag("lowercase"), kind)

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        known: dict[str, list[int]] = {}  # a corpus repeats its words: each spelling is split once a call
        return [self._encode(text.lower() if self.lowercase else text, known) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return join_tokens(self.vocabulary.words(content(ids)))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.vocabulary.words(ids)

    def save(self, folder: Path, name: str) -> None:
        options = {"lowercase": self.lowercase}
        path = Path(folder) / f"{name}.json"
        write_saved(Saved(path, self.kind, options, self.vocabulary.sha256, self.vocabulary.tokens))

    def _encode(self, text: str, known: dict[str, list[int]]) -> list[int]:
        ids: list[int] = []
        for chunk in text.split():
            if chunk not in known:
                known[chunk] = self.vocabulary.ids(tokens_of(chunk, self.kind))
            ids += known[chunk]
        return ids


def tokens_of(chunk: str, kind: WordKind) -> list[str]:
    """The tokens of a text without white space."""
    if kind == "words":
        return split_chunk(chunk)
    return [_MARKS.sub(lambda sign: _ESCAPES.get(sign[0], "％003c"), chunk)]


def split_chunk(chunk: str) -> list[str]:
    """The tokens of a text without white space, joiners set on the signs: `(he)` -> `(￭`, `he`, `￭)`."""
    if chunk.isalnum():
        return [chunk]
    matches = list(_splitter().finditer(chunk))
    spans = [match.group() for match in matches]
    signs = [match.lastgroup is None for match in matches]
    tokens = []
    for i, span in enumerate(spans):
        left = JOINER if signs[i] and i > 0 else ""
        right = JOINER if signs[i] and i + 1 < len(spans) and not signs[i + 1] else ""
        tokens.append(left + _ESCAPES.get(span, span) + right)
    return tokens


def join_tokens(tokens: Sequence[str]) -> str:
    """The text of the tokens: one space between two of them unless a joiner says no."""
    parts: list[str] = []
    glued = True
    for token in tokens:
        if not glued and not token.startswith(JOINER):
            parts.append(" ")
        glued = token.endswith(JOINER)
        parts.append(_ESCAPED.sub(lambda escape: _UNESCAPES[escape[0]], token.strip(JOINER)))
    return "".join(parts)


@functools.cache
def _splitter() -> re.Pattern[str]:
    # `\w` lacks combining marks: without them every vowel sign of Hindi or Thai would be a token of its own.
    marks = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c).startswith("M"))
    variants = "".join(map(chr, range(0xE0100, min(0xE01F0, sys.maxunicode))))
    return re.compile(rf"(?P<word>[\w{marks}{variants}\u200c\u200d]+)|\S")
