"""The turns of a dialogue as one text, and that text as one row of ids.

A history is written with a sign before each turn: `⏎ Hello. ⏎ Hi, who is it?`; where nothing was said it is the sign
alone, which is no blank. A TAB separates turns, too. The ids are BOS, and each turn with EOS behind it: for one encoder
that reads all of it and for one that reads turn by turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from s2s.text.tokenizer import Kind, Tokenizer
from s2s.text.vocab import BOS, EOS, Vocabulary

TURN = "⏎"
_BETWEEN = re.compile(f"[{TURN}\t]")


def history(turns: Sequence[str]) -> str:
    """What was said before the next turn; what would cut a turn in two becomes a space."""
    return " ".join(f"{TURN} {one_turn(turn)}" for turn in turns) or TURN


def one_turn(text: str) -> str:
    """A text as a turn: white space and signs between turns are single spaces."""
    return " ".join(_BETWEEN.sub(" ", text).split())


def turns_of(text: str) -> list[str]:
    """The turns of a history; blank turns are none."""
    return [turn.strip() for turn in _BETWEEN.split(text) if turn.strip()]


@dataclass(frozen=True)
class Turns:
    """A tokenizer of histories on top of one of turns.

    Attributes:
        base: of turns.
        most: turns that are read, the last ones; None: all.
        longest: tokens that are read, end marks included; the earliest turns go first, and of a single one its
            beginning; None: all.
    """

    base: Tokenizer
    most: int | None = None
    longest: int | None = None

    @property
    def kind(self) -> Kind:
        return self.base.kind

    @property
    def vocabulary(self) -> Vocabulary:
        return self.base.vocabulary

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        chosen = [turns_of(text) for text in texts]
        ids = iter(self.base.encode_batch([turn for turns in chosen for turn in turns]))
        return [self.join([next(ids) for _ in turns]) for turns in chosen]

    def join(self, turns: Sequence[Sequence[int]]) -> list[int]:
        """The ids of a history from those of its turns, within the limits."""
        kept: list[list[int]] = []
        room = self.longest
        for turn in reversed(self._last(turns)):
            ended = [*turn, EOS]
            if room is not None:
                if kept and len(ended) > room:
                    break
                ended = ended[-room:]
                room -= len(ended)
            kept.append(ended)
        return [BOS, *(i for turn in reversed(kept) for i in turn)]

    def cuts(self, turns: Sequence[Sequence[int]]) -> bool:
        """Whether the turns that are read have more than `longest` tokens, so that `join` leaves some out."""
        if self.longest is None:
            return False
        ends = accumulate(len(turn) + 1 for turn in reversed(self._last(turns)))
        return any(tokens > self.longest for tokens in ends)

    def _last(self, turns: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        return turns if self.most is None else turns[max(0, len(turns) - self.most) :]

    def decode(self, ids: Sequence[int]) -> str:
        return history([self.base.decode(turn) for turn in split_turns(ids)])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.base.pieces(ids)

    def save(self, folder: Path, name: str) -> None:
        self.base.save(folder, name)


def split_turns(ids: Sequence[int]) -> list[list[int]]:
    """The turns of a history's ids, without marks."""
    turns: list[list[int]] = []
    turn: list[int] = []
    for i in ids:
        if i == EOS:
            turns.append(turn)
            turn = []
        elif i != BOS:
            turn.append(i)
    return [*turns, turn] if turn else turns
