"""One token a character: decode(encode(x)) == x for every text whose characters are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2s.errors import UserError
from s2s.text.ids import content
from s2s.text.saved import Saved, write_saved
from s2s.text.vocab import SPECIALS, Vocabulary

# Blanks have no ink; a picture's axis shows these instead.
_INK = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})


@dataclass(frozen=True)
class Characters:
    """Every Unicode code point is a token; `lowercase` folds the text first (then the round trip is of x.lower())."""

    vocabulary: Vocabulary
    lowercase: bool = False
    kind: Literal["characters"] = "characters"

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        min_count: int = 1,
        lowercase: bool = False,
        reserved: Sequence[str] = (),
    ) -> Characters:
        """All characters of the texts, the most frequent first. UserError when there are none."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.lower() if lowercase else text)
        if not counts:
            raise UserError("a character tokenizer needs text, got none. Give a corpus whose lines are not all empty.")
        vocabulary = Vocabulary.from_counts(counts, max_size=vocab_size, min_count=min_count, reserved=reserved)
        return cls(vocabulary, lowercase)

    @classmethod
    def restore(cls, saved: Saved) -> Characters:
        """From its file; UserError when it is damaged."""
        return cls(saved.vocabulary(), saved.flag("lowercase"))

    def encode(self, text: str) -> list[int]:
        return self.vocabulary.ids(text.lower() if self.lowercase else text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.vocabulary.words(content(ids)))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        words = self.vocabulary.words(ids)
        return [word if word in SPECIALS else word.translate(_INK) for word in words]

    def save(self, folder: Path, name: str) -> None:
        options = {"lowercase": self.lowercase}
        path = Path(folder) / f"{name}.json"
        write_saved(Saved(path, self.kind, options, self.vocabulary.sha256, self.vocabulary.tokens))
