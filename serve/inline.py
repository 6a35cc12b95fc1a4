"""A sentence with tags inside: translated as one text, the tags put back around the words that belong together."""

from __future__ import annotations

import html
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeAlias

from .protocols import Links
from .units import Unit, belonging, units

NEAR = 20
"""So many units around are looked at for room, where nothing in the translation stands for what an element holds."""


@dataclass
class Point:
    """Markup that holds no text: where it stands in the source, and whether white space is on either side."""

    raw: str
    at: int
    before: bool
    after: bool = False

    @property
    def leans_on_next(self) -> bool:
        """Whether it belongs to what follows rather than to what went before."""
        return self.before and not self.after


@dataclass
class Element:
    """Two tags around the source's characters from start to end, and the marks between them in order."""

    opening: str
    start: int
    end: int = 0
    closing: str = ""
    inner: list[Mark] = field(default_factory=list)


Mark: TypeAlias = Point | Element


class Range(NamedTuple):
    """From `first` to before `last`."""

    first: int
    last: int


class Spot(NamedTuple):
    """A mark, and the translation's units that it stands around; a range of none is a place in front of a unit."""

    place: Range
    mark: Mark


def marked(source: str, marks: Sequence[Mark], translation: str, links: Links | None) -> str:
    """A translation as HTML with the marks of its source: each once, nested as they were."""
    written = units(translation)
    if not written:
        return "".join(map(bare, marks)) + html.escape(translation, quote=False)
    sentence = _Sentence(units(source), written, translation, links)
    return "".join(sentence.parts(marks, sentence.source, sentence.target, Range(0, len(translation))))


def bare(mark: Mark) -> str:
    """A mark without any text."""
    if isinstance(mark, Point):
        return mark.raw
    return mark.opening + "".join(map(bare, mark.inner)) + mark.closing


class _Sentence:
    """A sentence and its translation in units."""

    def __init__(self, read: Sequence[Unit], written: Sequence[Unit], translation: str, links: Links | None) -> None:
        self._read, self._written, self._text = read, written, translation
        self._middles = [unit.middle for unit in read]
        self._places: dict[int, list[int]] = {}  # of each unit of the source in the translation
        together = belonging(read, written, links)
        for unit, place in sorted(together):
            self._places.setdefault(unit, []).append(place)
        known = {place for _, place in together}
        self._known = [0, *accumulate(place in known for place in range(len(written)))]
        self.source, self.target = Range(0, len(read)), Range(0, len(written))

    def parts(self, marks: Sequence[Mark], source: Range, target: Range, characters: Range) -> Iterator[str]:
        """The translation's characters with marks among them; `source` and `target`: the units that they may have."""
        cursor, end = characters
        for place, mark in self._spots(marks, source, target):
            if isinstance(mark, Element) and place.first < place.last:
                own = Range(self._written[place.first].start, self._written[place.last - 1].end)
                yield self._plain(cursor, own.first)
                yield mark.opening
                yield from self.parts(mark.inner, self._of(mark), place, own)
                yield mark.closing
                cursor = own.last
                continue
            at = min(max(cursor, self._character(place.first, mark)), end)
            yield self._plain(cursor, at)
            yield self._spaced(mark, at)
            cursor = at
        yield self._plain(cursor, end)

    def _plain(self, start: int, end: int) -> str:
        return html.escape(self._text[start:end], quote=False)

    def _character(self, place: int, mark: Mark) -> int:
        """Directly behind the unit before a place, or directly in front of the next."""
        if place and not (isinstance(mark, Point) and mark.leans_on_next and place < len(self._written)):
            return self._written[place - 1].end
        return self._written[place].start

    def _spaced(self, mark: Mark, at: int) -> str:
        """With a space to its neighbour where white space stood on both sides."""
        if isinstance(mark, Element) or not (mark.before and mark.after):
            return bare(mark)
        in_front = at < len(self._text) and not self._text[at].isspace() and (not at or self._text[at - 1].isspace())
        return f"{mark.raw} " if in_front else f" {mark.raw}"

    def _of(self, element: Element) -> Range:
        """The source's units of which an element has the middle, or the one that it is a part of."""
        first, last = bisect_left(self._middles, element.start), bisect_left(self._middles, element.end)
        if first == last:
            first = max(0, bisect_left(self._read, element.start + 1, key=lambda unit: unit.start) - 1)
        return Range(first, max(last, first + 1))

    def _spots(self, marks: Sequence[Mark], source: Range, target: Range) -> list[Spot]:
        """A place for each mark, in the order of the translation; no two overlap."""
        elements = self._elements([mark for mark in marks if isinstance(mark, Element)], target)
        filled = sorted((spot for spot in elements if spot.place.first < spot.place.last), key=lambda spot: spot.place)
        points = [Spot(self._beside(mark, source, target), mark) for mark in marks if isinstance(mark, Point)]
        points += [spot for spot in elements if spot.place.first == spot.place.last]
        points = [Spot(_outside(spot.place, filled), spot.mark) for spot in points]
        leaning = [isinstance(spot.mark, Point) and spot.mark.leans_on_next for spot in points]
        ranked = [(spot.place.first, 1 + leans, spot) for spot, leans in zip(points, leaning, strict=True)]
        ranked += [(spot.place.first, 3, spot) for spot in filled]
        return [spot for _, _, spot in sorted(ranked, key=lambda one: one[:2])]

    def _elements(self, elements: Sequence[Element], target: Range) -> list[Spot]:
        """Those that more of the translation stands for choose first; one without any takes a place near by."""
        taken = bytearray(target.last)
        claims = [(self._claim(element, target), element) for element in elements]
        found: list[Spot] = []
        for claim, element in sorted(claims, key=lambda one: -len(one[0])):
            place = self._best(claim, taken) or self._near(element, target, taken)
            taken[place.first : place.last] = b"\1" * (place.last - place.first)
            found.append(Spot(place, element))
        return found

    def _claim(self, element: Element, target: Range) -> list[int]:
        """The translation's units that stand for an element's."""
        own = (place for unit in range(*self._of(element)) for place in self._places.get(unit, ()))
        return sorted({place for place in own if target.first <= place < target.last})

    def _best(self, claim: Sequence[int], taken: bytearray) -> Range | None:
        """The range with the most units of a claim less those that stand for something else; none that is taken."""
        free = [place for place in claim if not taken[place]]
        best, best_score, first, score = None, 0, 0, 0
        for before, place in pairwise([-1, *free]):
            others = self._known[place] - self._known[before + 1]
            joins = score > others and 1 not in taken[before + 1 : place]
            first, score = (first, score - others + 1) if joins else (place, 1)
            if score > best_score:
                best, best_score = Range(first, place + 1), score
        return best

    def _near(self, element: Element, target: Range, taken: bytearray) -> Range:
        """A free unit as far into the translation as the element is into the source; no unit where all are taken."""
        middle = sum(self._of(element)) / 2 / max(1, len(self._read)) * len(self._written)
        wanted = min(max(round(middle), target.first), target.last)
        around = range(max(target.first, wanted - NEAR), min(target.last, wanted + NEAR))
        free = [place for place in around if not taken[place] and self._written[place].solid]
        if not free:
            return Range(wanted, wanted)
        nearest = min(free, key=lambda place: abs(place + 0.5 - middle))
        return Range(nearest, nearest + 1)

    def _beside(self, point: Point, source: Range, target: Range) -> Range:
        """The place beside the translation of a point's neighbour in the source."""
        following = bisect_left(self._middles, point.at)
        behind = [place + 1 for place in self._within(following - 1, source, target)][-1:]
        in_front = self._within(following, source, target)[:1]
        choices = in_front + behind if point.leans_on_next else behind + in_front
        if choices:
            return Range(choices[0], choices[0])
        share = (following - source.first) / max(1, source.last - source.first)
        place = target.first + round(share * (target.last - target.first))
        return Range(place, place)

    def _within(self, unit: int, source: Range, target: Range) -> list[int]:
        """Where a unit of the source is in the translation, both within bounds."""
        own = self._places.get(unit, []) if source.first <= unit < source.last else []
        return [place for place in own if target.first <= place < target.last]


def _outside(place: Range, filled: Sequence[Spot]) -> Range:
    """The nearest place that is in no element."""
    number = bisect_left(filled, place.first, key=lambda spot: spot.place.first)
    if not number or filled[number - 1].place.last <= place.first:
        return place
    around = filled[number - 1].place
    nearest = around.first if place.first - around.first < around.last - place.first else around.last
    return Range(nearest, nearest)
