"""The vocabulary: an immutable, ordered list of tokens whose first four are the same for every tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")


class Vocabulary:
    """tokens[i] is the token with the id i; `SPECIALS` hold the ids 0 to 3. Equal when the tokens are equal.

    ValueError when the specials are not in front or a token occurs twice.
    """

    __slots__ = ("_ids", "tokens")

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        if self.tokens[: len(SPECIALS)] != SPECIALS:
            raise ValueError(f"a vocabulary starts with {SPECIALS}, got {self.tokens[: len(SPECIALS)]}")
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise ValueError(f"tokens that occur twice in the vocabulary: {_twice(self.tokens)[:5]}")

    @classmethod
    def from_counts(
        cls, counts: Counter[str], *, max_size: int | None, min_count: int = 1, reserved: Sequence[str] = ()
    ) -> Vocabulary:
        """Specials, reserved tokens, then the most frequent first, ties in the order of the tokens; `max_size` counts
        them all."""
        kept = [token for token, count in counts.items() if count >= min_count and token not in SPECIALS]
        kept.sort(key=lambda token: (-counts[token], token))
        if max_size is not None:
            kept = kept[: max(0, max_size - len(SPECIALS) - len(reserved))]
        return cls([*SPECIALS, *reserved, *kept])

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, sha256 {self.sha256[:12]})"

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """One id a token; `UNK` for a token that is not known."""
        get = self._ids.get
        return [get(token, UNK) for token in tokens]

    def words(self, ids: Iterable[int]) -> list[str]:
        """One token an id; IndexError for an id outside the vocabulary, negative ones included."""
        return [self._token(i) for i in ids]

    @property
    def sha256(self) -> str:
        """The hash of all tokens in their order: two runs may share weights only when it is the same."""
        text = json.dumps(self.tokens, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def _token(self, i: int) -> str:
        if not 0 <= i < len(self.tokens):
            raise IndexError(f"token id {i} is outside the vocabulary of {len(self)} tokens")
        return self.tokens[i]


def _twice(tokens: Sequence[str]) -> list[str]:
    return [token for token, count in Counter(tokens).items() if count > 1]
