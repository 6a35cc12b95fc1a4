"""Texts of any length in lines, as `s2s translate` reads them: cut, translate, put the same breaks back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from s2s.text.sentences import Piece, gap_behind, sentences

from .protocols import Links, Translation

BREAK = re.compile("(\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])")  # the breaks of str.splitlines


class Whole(NamedTuple):
    """A translation of a text; `links` as of `protocols.Translation`, of the whole text."""

    text: str
    links: Links | None = None


class Ask(Protocol):
    """The answers to lines, each of which must hold its own required words; see `Translator.translate`."""

    async def __call__(
        self, lines: Sequence[str], required: Sequence[Sequence[str]] | None
    ) -> Sequence[Sequence[Translation]]: ...


async def translate_texts(
    ask: Ask, texts: Sequence[str], *, n_best: int, glossary: Mapping[str, str] | None = None
) -> list[list[Whole]]:
    """For each text its best translation and up to n_best - 1 different further ones.

    Hypothesis k of a text joins hypothesis k of each line (one that has fewer gives its best). Blank lines stay empty
    and never reach the model; all lines of the request go to it together. A line that holds a term of the glossary goes
    there sentence by sentence, and sentences with the term are answered with its translation in them. Raises
    RuntimeError when the model answers with another number of lines, UserError when it can't write a term.
    """
    cut = [_cut(text, glossary or {}) for text in texts]
    asked = [piece.text for pieces in cut for piece in pieces if piece.text]
    required = [terms_of(line, glossary) for line in asked] if glossary else None
    answers = await ask(asked, required) if asked else []
    if len(answers) != len(asked) or not all(answers):
        raise RuntimeError(f"{len(asked)} lines in, {len(answers)} answers out, or an empty one")
    queue = iter(answers)
    return [_join(pieces, queue)[:n_best] for pieces in cut]


def _cut(text: str, glossary: Mapping[str, str]) -> list[Piece]:
    """The lines of a text, each with the break behind it; blank ones are empty."""
    lines = BREAK.split(text)  # line, break, line, ..., break, line
    result: list[Piece] = []
    for line, end in zip(lines[::2], [*lines[1::2], ""], strict=True):
        if blank(line):
            result.append(Piece("", end))
        elif terms_of(line, glossary):  # which the model does not cut itself, however long it is
            *before, last = sentences(line)
            result += [*before, Piece(last.text, end)]
        else:
            result.append(Piece(line, end))
    return result


def terms_of(line: str, glossary: Mapping[str, str]) -> list[str]:
    """The translations of the terms that stand in a line as whole words, in capitals or not; each of them once."""
    found = (
        target
        for source, target in glossary.items()
        if re.search(rf"(?<!\w){re.escape(source)}(?!\w)", line, re.IGNORECASE)
    )
    return list(dict.fromkeys(found))


def blank(line: str) -> bool:
    """Whether there is nothing to translate."""
    return not line.strip()


def _join(pieces: Sequence[Piece], answers: Iterator[Sequence[Translation]]) -> list[Whole]:
    """The distinct hypotheses of one text, best first; takes the next answer for each piece that is not blank."""
    options: list[Sequence[Translation]] = [next(answers) if piece.text else [Whole("", [])] for piece in pieces]
    ranked = (
        [option[k] if k < len(option) else option[0] for option in options] for k in range(max(map(len, options)))
    )
    distinct: dict[str, Whole] = {}
    for row in ranked:
        whole = _joined(pieces, row)
        distinct.setdefault(whole.text, whole)
    return list(distinct.values())


def _joined(pieces: Sequence[Piece], row: Sequence[Translation]) -> Whole:
    """Words are counted through the text: without white space at a cut, the next piece goes on in the same word."""
    if len(pieces) == 1:
        return Whole(row[0].text, row[0].links)
    text, links = "", []
    source = target = 0
    for number, (piece, own) in enumerate(zip(pieces, row, strict=True)):
        gap = gap_behind(piece, own.text) if number + 1 < len(pieces) else ""
        text += own.text + gap
        links += [(source + word, target + other) for word, other in own.links or ()]
        source += len(piece.text.split()) - (not piece.gap)
        target += len(own.text.split()) - (not gap and bool(own.text.strip()))
    return Whole(text, links if all(own.links is not None for own in row) else None)
