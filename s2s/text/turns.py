"""The turns of a dialogue as one text, and that text as one row of ids.

A history is written `<dialogue>`, then each turn behind a TAB: what stands before the first turn is `<dialogue>` alone,
which is no blank. Its ids are BOS, and each turn with EOS behind it, whether one encoder reads all of it or turns are
read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2s.text.tokenizer import Kind, Tokenizer
from s2s.text.vocab import BOS, EOS, Vocabulary

BEGIN = "<dialogue>"
SEPARATOR = "\t"


def history(turns: Sequence[str]) -> str:
    """What stands before the next turn; white space in a turn that would cut it in two becomes a space."""
    return SEPARATOR.join([BEGIN, *(" ".join(turn.split()) for turn in turns)])


def turns_of(text: str) -> list[str]:
    """The turns of a history, which may lack its beginning; blank turns are none."""
    turns = [turn for turn in text.split(SEPARATOR) if turn.strip()]
    return turns[1:] if turns and turns[0].strip() == BEGIN else turns


@dataclass(frozen=True)
class Turns:
    """A tokenizer of histories on top of one of turns."""

    base: Tokenizer
    most: int | None = None
    """Turns that are read, the last ones; None: all."""

    @property
    def kind(self) -> Kind:
        return self.base.kind

    @property
    def vocabulary(self) -> Vocabulary:
        return self.base.vocabulary

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        chosen = [self._read(text) for text in texts]
        ids = iter(self.base.encode_batch([turn for turns in chosen for turn in turns]))
        return [[BOS, *(i for _ in turns for i in (*next(ids), EOS))] for turns in chosen]

    def _read(self, text: str) -> list[str]:
        turns = turns_of(text)
        return turns if self.most is None else turns[len(turns) - min(self.most, len(turns)) :]

    def decode(self, ids: Sequence[int]) -> str:
        return history([self.base.decode(turn) for turn in split_turns(ids)])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.base.pieces(ids)

    def save(self, folder: Path, name: str) -> None:
        self.base.save(folder, name)


def split_turns(ids: Sequence[int]) -> list[list[int]]:
    """The turns of a row of ids, without marks."""
    turns: list[list[int]] = []
    turn: list[int] = []
    for i in ids:
        if i == EOS:
            turns.append(turn)
            turn = []
        elif i != BOS:
            turn.append(i)
    return [*turns, turn] if turn else turns
