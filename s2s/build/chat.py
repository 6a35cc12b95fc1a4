"""`s2s chat`: a conversation, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from s2s.build.load import Device, load_translator
from s2s.build.report import one_line
from s2s.build.streams import Bytes, arriving
from s2s.build.words import split_search
from s2s.errors import UserError
from s2s.text.turns import one_turn
from s2s.translator import Translation
from s2s.translator.chat import Chat

ANEW = ("/reset", "[DONE]")
LEAVE = ("/exit", "/quit", "[EXIT]")


@dataclass(frozen=True)
class Talk:
    """The words of `s2s chat`.

    Attributes:
        alone: turns that the model says to itself; None: it listens.
        opening: the turn before these.
    """

    words: Sequence[str]
    candidates: int = 1
    seed: int | None = None
    alone: int | None = None
    opening: str | None = None
    device: Device = "auto"

    def parts(self) -> tuple[Path, dict[str, Any]]:
        """The run, and keys of `[search]`.

        Raises:
            UserError: no run or several.
        """
        runs, search = split_search(self.words)
        if len(runs) != 1:
            raise UserError(f"expected one run to talk to, got {len(runs)}: {' '.join(map(str, runs))}")
        if self.opening is not None and self.alone is None:
            raise UserError("--opening is what the model begins with when it talks to itself: give --self N, too")
        return runs[0], search if self.seed is None else {**search, "seed": self.seed}


def chat_verb(talk: Talk, lines: TextIO, out: TextIO) -> None:
    """A reply a line, until the lines end or one asks to leave; blank lines are passed over. Alone, a turn a line.

    Raises:
        UserError: whatever is wrong with the run or the keys; a line that is not UTF-8, when it is its turn.
    """
    run, search = talk.parts()
    chat = Chat(load_translator(run, device=talk.device), search=search)
    if talk.alone is not None:
        _alone(chat, talk, talk.alone, out)
        return
    person = lines.isatty()
    if person:
        print(f"{chat.translator.name} listens. {', '.join(ANEW)}: anew. {LEAVE[-1]}: the end.", file=out)
    heard = arriving(cast(Bytes, lines.buffer), "standard input", most=1)  # a text stream may let wrong bytes through
    while (line := _next(heard, out, person)) is not None and line not in LEAVE:
        if line in ANEW:
            chat.reset()
        elif line:
            _show(chat.say(line, candidates=talk.candidates), talk.candidates, out)


def _alone(chat: Chat, talk: Talk, turns: int, out: TextIO) -> None:
    """The opening, and what the model makes of it."""
    if opening := one_turn(talk.opening or ""):
        chat.turns.append(opening)
        print(opening, file=out)
    for _ in range(turns):
        _show(chat.go_on(candidates=talk.candidates), talk.candidates, out)


def _next(heard: Iterator[list[str]], out: TextIO, person: bool) -> str | None:
    """The next line without its end; None where there is no more."""
    if person:
        print("> ", end="", file=out, flush=True)
    return next((line.strip() for line in next(heard, ())), None)


def _show(replies: Sequence[Translation], candidates: int, out: TextIO) -> None:
    for number, reply in enumerate(replies, start=1):
        score = f"{number}\t{reply.score:.4f}\t" if candidates > 1 else ""
        print(f"{score}{one_line(reply.text, tabs=False)}", file=out, flush=True)
