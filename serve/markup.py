"""HTML that stays as it is while its text is translated.

Blocks, line breaks and tags that are not closed where they should be divide the text into passages. Tags within one
(bold, links, images ...) are put around the words that stand for theirs (`inline`). All else is given back letter by
letter: tags with their attributes, comments, declarations, white space around passages, and what stands in an element
that holds no prose or that says `translate="no"` or `class="notranslate"`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate

from .inline import Element, Mark, Point, marked
from .lines import Whole
from .tokens import Token, tokens_of

DEEPEST = 50
"""Tags within one another in a sentence; beyond, they divide it."""

SPACES = re.compile(r"[^\S\xa0\u2007\u202f]+")  # all but those that forbid a break


class Passage:
    """Text to translate, in one line, and the marks in it."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        """Tokens without blocks, each tag with its partner among them, not all of them blank."""
        self._raw = "".join(token.raw for token in tokens)
        self._before, core, self._behind = _trimmed(tokens)
        self.text = ""
        self.marks: list[Mark] = []
        parents: list[Element] = []
        unsure: list[Point] = []  # behind which white space may follow
        for token in core:
            siblings = parents[-1].inner if parents else self.marks
            match token.kind:
                case "open":
                    parents.append(Element(token.raw, len(self.text)))
                    siblings.append(parents[-1])
                case "close":
                    element = parents.pop()
                    element.end, element.closing = len(self.text), token.raw
                case "text":
                    self._read(SPACES.sub(" ", token.prose), unsure)
                case _:
                    unsure.append(Point(token.raw, len(self.text), self.text[-1:] in ("", " ")))
                    siblings.append(unsure[-1])
        self.text = self.text.rstrip(" ")

    def _read(self, text: str, unsure: list[Point]) -> None:
        for point in unsure:
            point.after = text.startswith(" ")
        unsure.clear()
        self.text += text.removeprefix(" ") if self.text[-1:] in ("", " ") else text

    def filled(self, translation: Whole) -> str:
        """As HTML, with a translation in the place of the text; as it was where they are the same."""
        if translation.text == self.text:
            return self._raw
        return self._before + marked(self.text, self.marks, translation.text, translation.links) + self._behind


class Page:
    """A text with markup; `texts` are what to translate, in order."""

    def __init__(self, source: str) -> None:
        self._parts: list[str | Passage] = []
        run: list[Token] = []
        tokens = tokens_of(source)
        lonely = _without_partner(tokens)
        for number, token in enumerate(tokens):
            if token.kind == "block" or number in lonely:
                self._end(run)
                self._parts.append(token.raw)
            else:
                run.append(token)
        self._end(run)

    def _end(self, run: list[Token]) -> None:
        prose = any(token.prose.strip() for token in run)
        self._parts.append(Passage(run) if prose else "".join(token.raw for token in run))
        run.clear()

    @property
    def _passages(self) -> list[Passage]:
        return [part for part in self._parts if isinstance(part, Passage)]

    @property
    def texts(self) -> list[str]:
        return [passage.text for passage in self._passages]

    @property
    def marked(self) -> bool:
        """Whether there are tags within sentences."""
        return any(passage.marks for passage in self._passages)

    def filled(self, translations: Sequence[Whole]) -> str:
        """The page with a translation in the place of each text."""
        queue = iter(translations)
        return "".join(part if isinstance(part, str) else part.filled(next(queue)) for part in self._parts)


def _without_partner(tokens: Sequence[Token]) -> set[int]:
    """Tags that are not opened and closed within one passage, in order."""
    found: set[int] = set()
    opened: list[int] = []
    for number, token in enumerate(tokens):
        match token.kind:
            case "open" if len(opened) < DEEPEST:
                opened.append(number)
            case "close" if opened and tokens[opened[-1]].name == token.name:
                opened.pop()
            case "open" | "close" | "block":
                found.update(opened, [number])
                opened.clear()
    return found.union(opened)


def _trimmed(tokens: Sequence[Token]) -> tuple[str, list[Token], str]:
    """What is before the text and around all of it, the rest with one point for each element without text, and what is
    behind."""
    partner = _partners(tokens)
    words = [0, *accumulate(bool(token.prose.strip()) for token in tokens)]

    def empty(place: int) -> range:
        """From a place on (or up to it, at the end of an element) what holds no text."""
        own = sorted((place, partner.get(place, place)))
        return range(own[0], own[1] + 1) if words[own[0]] == words[own[1] + 1] else range(0)

    first, last = 0, len(tokens)
    while True:
        if found := empty(first):
            first = found.stop
        elif found := empty(last - 1):
            last = found.start
        elif partner.get(first) == last - 1:
            first, last = first + 1, last - 1
        else:
            break
    core: list[Token] = []
    place = first
    while place < last:
        found = empty(place) if tokens[place].kind == "open" else range(0)
        core += _as_point([tokens[number] for number in found]) if found else [tokens[place]]
        place = max(place + 1, found.stop)
    before, behind = ("".join(token.raw for token in some) for some in (tokens[:first], tokens[last:]))
    lead, core[0] = _bare(core[0], str.lstrip)
    trail, core[-1] = _bare(core[-1], str.rstrip)
    return before + lead, core, trail + behind


def _bare(token: Token, strip: Callable[[str], str]) -> tuple[str, Token]:
    """The white space at one end of a text, and the token without it."""
    if token.kind != "text":
        return "", token
    bare = strip(token.raw)
    return token.raw.replace(bare, "", 1), token._replace(raw=bare)


def _partners(tokens: Sequence[Token]) -> dict[int, int]:
    """The numbers of tags that belong together, both ways."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for number, token in enumerate(tokens):
        if token.kind == "open":
            opened.append(number)
        elif token.kind == "close":
            start = opened.pop()
            found |= {start: number, number: start}
    return found


def _as_point(tokens: Sequence[Token]) -> list[Token]:
    """An element without text, and the white space that it holds."""
    spaced = any(token.kind == "text" for token in tokens)
    return [Token("".join(token.raw for token in tokens), "point"), *([Token(" ", "text")] if spaced else [])]
