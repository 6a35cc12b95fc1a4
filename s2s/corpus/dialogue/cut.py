"""Dialogues as a model reads them: without empty turns and lone ones, and none longer than asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from s2s.corpus.dialogue.read import Dialogue


@dataclass(frozen=True)
class Cut:
    """The dialogues that there are now, of which row in what was given each is a part, and what was done.

    Attributes:
        dialogues: in their order.
        rows: as many.
        total: dialogues that were given.
        empty: turns without text, which end a dialogue: what follows is another, so that none is answered that was
            never said.
        lone: turns that stood alone after that, and were left out.
        long: dialogues with more than `max_turns` turns.
        windows: what these were cut into.
        max_turns: None for no limit.
    """

    dialogues: list[Dialogue]
    rows: list[int]
    total: int
    empty: int
    lone: int
    long: int
    windows: int
    max_turns: int | None

    def sentence(self) -> str:
        """One line for people: "11,118 dialogues: 2 empty turns cut out, 75 longer than 20 turns cut into 152"."""
        parts = [
            f"{self.empty:,} empty turn{'s' * (self.empty > 1)} cut out" if self.empty else "",
            f"{self.lone:,} of one turn left out" if self.lone else "",
            f"{self.long:,} longer than {self.max_turns} turns cut into {self.windows:,}" if self.long else "",
        ]
        said = ", ".join(filter(None, parts))
        return f"{self.total:,} dialogues: {said}" if said else f"kept all {self.total:,} dialogues whole"


def cut_dialogues(dialogues: Sequence[Dialogue], *, max_turns: int | None) -> Cut:
    """Dialogues of two turns and more, each with text.

    One that is longer than `max_turns` becomes as few consecutive windows as hold it, as equal as can be, so that every
    turn is still predicted once; the first turn of a window is predicted without what went before.
    """
    kept: list[tuple[int, Dialogue]] = []
    empty = lone = long = windows = 0
    for row, dialogue in enumerate(dialogues):
        empty += sum(not turn.strip() for turn in dialogue)
        for piece in _said(dialogue):
            parts = list(_windows(piece, max_turns))
            if len(piece) == 1:
                lone += 1
                continue
            long, windows = long + (len(parts) > 1), windows + (len(parts) > 1) * len(parts)
            kept += ((row, part) for part in parts)
    return Cut(
        [part for _, part in kept], [row for row, _ in kept], len(dialogues), empty, lone, long, windows, max_turns
    )


def _said(dialogue: Dialogue) -> Iterator[Dialogue]:
    """The runs of turns with text."""
    return (tuple(run) for said, run in groupby(dialogue, key=lambda turn: bool(turn.strip())) if said)


def _windows(dialogue: Dialogue, most: int | None) -> Iterable[Dialogue]:
    count = 1 if most is None else -(-len(dialogue) // most)
    bounds = [len(dialogue) * number // count for number in range(count + 1)]
    return (dialogue[start:end] for start, end in pairwise(bounds))
