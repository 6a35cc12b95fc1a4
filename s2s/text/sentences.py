"""A long text in pieces that a model of sentences can read, with the white space between them.

A sentence ends at a stop (and the quotes or brackets that close behind it) where white space follows, at a stop of a
script that writes without spaces, and at a line break. It does not end before a small letter, nor behind an
abbreviation, an initial or a short number with a full stop: a cut too many costs the model its context, a cut too few
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Sizes = Callable[[Sequence[str]], Sequence[int]]
"""How many tokens each of some texts has."""


class Piece(NamedTuple):
    """A part of a text, and the white space between it and the next one (often none in Chinese or Japanese)."""

    text: str
    gap: str


_UNSPACED = tuple("。．！？｡，、；：」』）】〉》…")
"""Behind these marks no space is written."""

_BREAKS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"  # of str.splitlines
_STOPS = ".!?…‼⁇⁈⁉؟۔।॥"
_WIDE_STOPS = "。．！？｡"
_CLOSING = "\"'”’»›)\\]}」』）】〉》"
_OPENING = "\"'“‘«‹„‚([{¿¡「『（【〈《*-–—"

# Runs are taken whole (++) and only from their first character: a line of dots costs no more than one of letters.
_END = re.compile(
    rf"(?<![{_STOPS}])(?P<stop>[{_STOPS}]++)[{_CLOSING}]*+\s|[{_WIDE_STOPS}]++[{_CLOSING}]*+|[{_BREAKS}]++"
)
_NEXT = re.compile(rf"\s*+[{re.escape(_OPENING)}]*+\s*+(\S)")
_LAST = re.compile(r"(\S{1,20})$")
_INITIAL = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]|\d{1,2}|[ivxlIVXL]+")
_ABBREVIATION = re.compile(
    """
    abb | al | approx | art | bd | bzgl | bzw | ca | capt | cf | ch | chap | co | col | corp | dept | dipl | dr
    | ed | eds | etc | evtl | figs? | fr | gen | ggf | hr | hrsg | inc | inkl | ing | jr | lt | ltd | maj | max
    | messrs | min | mio | mlle | mme | mr | mrs | ms | mt | nos | nr | pp | prof | rep | rev | sen | sgt | sig
    | sog | spp | sr | sra | srta | std? | str | tel | usw | vgl | vol | vs | zzgl
    """,
    re.VERBOSE | re.IGNORECASE,
)

_COMMAS = re.compile(r"[,;:،؛–—]\s|[，、；：]")
_SPACES = re.compile(r"\s++")


def sentences(text: str) -> list[Piece]:
    """The sentences of a text; texts and gaps in turn give the text back, but for white space around it."""
    return _cut_at(text, (match.end() for match in _END.finditer(text) if _ends(text, match)))


def gap_behind(piece: Piece, answer: str) -> str:
    """What stands between the answer to a piece and the next one: its own gap; without one a space, but for marks of
    scripts that write none."""
    return piece.gap or ("" if answer.endswith(_UNSPACED) else " ")


def pieces(text: str, sizes: Sizes, most: int) -> list[Piece]:
    """The sentences of a text, those of more than `most` tokens cut at commas, else at spaces, else anywhere."""
    found = sentences(text)
    result: list[Piece] = []
    for piece, size in zip(found, sizes([piece.text for piece in found]), strict=True):
        if size <= most:
            result.append(piece)
            continue
        *parts, last = _cut_at(piece.text, _bounds(_parts(piece.text, sizes, most, (_COMMAS, _SPACES))))
        result += [*parts, Piece(last.text, piece.gap)]
    return result


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether a sentence ends at this match of `_END`."""
    if match["stop"] is None:
        return True
    following = _NEXT.match(text, match.end())
    if following is not None and following[1].islower():
        return False
    if match["stop"] != ".":
        return True
    before = _LAST.search(text, max(0, match.start() - 20), match.start())
    word = before[1].lstrip(_OPENING) if before is not None else ""
    return not (_INITIAL.fullmatch(word) or _ABBREVIATION.fullmatch(word))


def _cut_at(text: str, ends: Iterable[int]) -> list[Piece]:
    """The parts of a text between cuts; white space at a cut becomes the gap, and blank parts vanish into it."""
    result: list[Piece] = []
    start = 0
    for end in (*ends, len(text)):
        part, start = text[start:end], end
        bare = part.strip()
        if result:
            lead = part[: len(part) - len(part.lstrip())] if bare else part
            result[-1] = Piece(result[-1].text, result[-1].gap + lead)
        if bare:
            result.append(Piece(bare, part[len(part.rstrip()) :]))
    return [*result[:-1], Piece(result[-1].text, "")] if result else []


def _parts(text: str, sizes: Sizes, most: int, places: Sequence[re.Pattern[str]]) -> list[str]:
    """A text cut where the first of `places` matches (else the next) into parts of at most `most` tokens."""
    if not places:
        step = max(1, most - 1)  # SentencePiece may spend a token on the start of a word
        return [text[start : start + step] for start in range(0, len(text), step)]
    ends = [match.end() for match in places[0].finditer(text)]
    atoms = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if a < b]
    result: list[str] = []
    room = 0
    for atom, size in zip(atoms, sizes(atoms), strict=True):
        if size > most:
            result += _parts(atom, sizes, most, places[1:])
            room = 0
        elif size <= room:
            result[-1] += atom
            room -= size
        else:
            result.append(atom)
            room = most - size
    return result


def _bounds(parts: Iterable[str]) -> list[int]:
    """Where each part ends."""
    ends: list[int] = []
    for part in parts:
        ends.append(len(part) + (ends[-1] if ends else 0))
    return ends[:-1]
