"""Dialogues as pairs for a flat sequence-to-sequence model: what was said so far, and the next turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from s2s.corpus.dialogue.read import Dialogue
from s2s.corpus.examples import Example
from s2s.corpus.formats import Pair
from s2s.text.tokenizer import Tokenizer
from s2s.text.turns import Turns, history


def flat_pairs(dialogues: Iterable[Dialogue], *, context: int | None = None) -> Iterator[Pair]:
    """A pair for each turn, the first included, in order: (`history` of the last `context` turns before it, the turn).

    None: of all turns before it.
    """
    for dialogue in dialogues:
        for number, turn in enumerate(dialogue):
            start = 0 if context is None else max(0, number - context)
            yield Pair(history(dialogue[start:number]), turn)


def encode_dialogues(dialogues: Sequence[Dialogue], tokenizer: Tokenizer) -> list[list[list[int]]]:
    """The turns of each dialogue in ids, without marks."""
    ids = iter(tokenizer.encode_batch(list(chain.from_iterable(dialogues))))
    return [[next(ids) for _ in dialogue] for dialogue in dialogues]


def flat_examples(turns: Sequence[Sequence[int]], reader: Turns) -> list[Example]:
    """`flat_pairs` of one dialogue in ids: what `reader` makes of the turns before each, and the turn."""
    return [Example(reader.join(turns[:at]), turn) for at, turn in enumerate(turns)]
