"""Ids for words outside the vocabulary, for models that copy words of the source (See et al. 2017, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s2s.text.characters import Characters
from s2s.text.ids import content
from s2s.text.tags import Tagged, tag
from s2s.text.tokenizer import Tokenizer
from s2s.text.vocab import UNK
from s2s.text.words import Words, join_tokens, tokens_of


@dataclass(frozen=True)
class Extended:
    """A tokenizer for one source and what is written for it: the k-th token of the source that is not among the
    vocabulary's V has the id V + k. Words and characters have such tokens; what SentencePiece does not know stays
    `<unk>`."""

    tokenizer: Tokenizer
    own: Mapping[str, int]
    """Tokens of the source that are not in the vocabulary, with their ids."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, source: str) -> Extended:
        """`tokenizer`: the target's, which has the vocabulary of the source's."""
        size = len(tokenizer.vocabulary)
        tokens = spelled(tokenizer, source) if UNK in tokenizer.encode(source) else []
        unknown = dict.fromkeys(token for token in tokens if tokenizer.vocabulary.ids([token]) == [UNK])
        return cls(tokenizer, {token: size + k for k, token in enumerate(unknown)})

    def encode(self, text: str) -> list[int]:
        """The ids of the source, or of another text that may hold its tokens."""
        ids = self.tokenizer.encode(text)
        if not self.own or UNK not in ids:
            return ids
        return [
            self.own.get(token, UNK) if i == UNK else i
            for i, token in zip(ids, spelled(self.tokenizer, text), strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """As `Tokenizer.decode`."""
        if not self._beyond(ids):
            return self.tokenizer.decode(ids)
        tokens = self._tokens(content(ids))
        return "".join(tokens) if isinstance(self.tokenizer, Characters) else join_tokens(tokens)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """As `Tokenizer.pieces`."""
        if not self._beyond(ids):
            return self.tokenizer.pieces(ids)
        spelling = {i: token for token, i in self.own.items()}
        return [spelling[i] if i in spelling else self.tokenizer.pieces([i])[0] for i in ids]

    def _beyond(self, ids: Sequence[int]) -> bool:
        return max(ids, default=0) >= len(self.tokenizer.vocabulary)

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        spelling = {i: token for token, i in self.own.items()}
        return [spelling[i] if i in spelling else self.tokenizer.vocabulary.words([i])[0] for i in ids]


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text before they are looked up, one for each id; none for SentencePiece."""
    if isinstance(tokenizer, Tagged):
        return [tag(tokenizer.language), *spelled(tokenizer.base, text)]
    if isinstance(tokenizer, Characters):
        return list(text.lower() if tokenizer.lowercase else text)
    if isinstance(tokenizer, Words):
        chunks = (text.lower() if tokenizer.lowercase else text).split()
        return [token for chunk in chunks for token in tokens_of(chunk, tokenizer.kind)]
    return []
