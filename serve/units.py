"""The parts of a text that tags can stand around, and which of them belong together in a text and its translation."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from .protocols import Links


class Unit(NamedTuple):
    """Letters, digits, or one mark of punctuation, repeated or not: "H2O, no.." has H, 2, O, comma, no, dots."""

    start: int
    end: int
    word: int  # its number among what white space separates
    text: str
    solid: bool  # letters or digits

    @property
    def middle(self) -> int:
        return (self.start + self.end - 1) // 2


def units(text: str) -> list[Unit]:
    """The units of a text."""
    found: list[Unit] = []
    place, word, gap = 0, -1, True
    for kind, group in groupby(text, _kind):
        start, place = place, place + sum(1 for _ in group)
        if kind == "space":
            gap = True
            continue
        word, gap = word + gap, False
        found.append(Unit(start, place, word, text[start:place].casefold(), kind in ("letter", "digit")))
    return found


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    match unicodedata.category(character):
        case "Nd" | "Nl" | "No":
            return "digit"
        case "Cf":  # such as the joiners within words
            return "letter"
        case category:
            return "letter" if category[0] in "LM" else character


def belonging(read: Sequence[Unit], written: Sequence[Unit], links: Links | None) -> set[tuple[int, int]]:
    """The numbers of units of a text and of its translation that belong together.

    Without links the words are taken to stand in the same order, each as far into the sentence.
    """
    sources, targets = _words(read), _words(written)
    if not links:
        return set(_in_order(read, range(len(read)), written, range(len(written))))
    known = ((source, target) for source, target in links if source < len(sources) and target < len(targets))
    found: set[tuple[int, int]] = set()
    for source, target in known:
        found.update(_within(read, sources[source], written, targets[target]))
    return found


def _words(found: Sequence[Unit]) -> list[list[int]]:
    """The numbers of the units of each word."""
    return [list(group) for _, group in groupby(range(len(found)), lambda number: found[number].word)]


def _within(
    read: Sequence[Unit], source: Sequence[int], written: Sequence[Unit], target: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Of two words: equal units, and the letters and digits that are left over in the same order."""
    places: dict[str, deque[int]] = {}
    for place in source:
        places.setdefault(read[place].text, deque()).append(place)
    left = []
    for number in target:
        if equal := places.get(written[number].text):
            yield equal.popleft(), number
        else:
            left.append(number)
    yield from _in_order(read, source, written, left)


def _in_order(
    read: Sequence[Unit], source: Sequence[int], written: Sequence[Unit], target: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Letters and digits, each with the one that is as far in among the others; punctuation with none."""
    own = [place for place in source if read[place].solid]
    numbers = [number for number in target if written[number].solid]
    if own:
        yield from (
            (own[(2 * rank + 1) * len(own) // (2 * len(numbers))], number) for rank, number in enumerate(numbers)
        )
