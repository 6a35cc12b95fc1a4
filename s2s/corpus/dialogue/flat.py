"""Dialogues as pairs for a flat sequence-to-sequence model: what was said so far, and the next turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from s2s.corpus.dialogue.read import Dialogue
from s2s.corpus.formats import Pair
from s2s.text.turns import history


def flat_pairs(dialogues: Iterable[Dialogue], *, context: int | None = None) -> Iterator[Pair]:
    """A pair for each turn, the first included, in order: (`history` of the last `context` turns before it, the turn).

    None: of all turns before it.
    """
    for dialogue in dialogues:
        for number, turn in enumerate(dialogue):
            start = 0 if context is None else max(0, number - context)
            yield Pair(history(dialogue[start:number]), turn)
