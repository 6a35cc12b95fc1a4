"""Texts of any length for models that know only sentences: cut, translate, put the same breaks and spaces back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from s2s.text.sentences import Piece, gap_behind, sentences

from .protocols import Translation

BREAK = re.compile("(\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])")  # the breaks of str.splitlines


class Ask(Protocol):
    """The answers to lines, each of which must hold its own required words; see `Translator.translate`."""

    async def __call__(
        self, lines: Sequence[str], required: Sequence[Sequence[str]] | None
    ) -> Sequence[Sequence[Translation]]: ...


async def translate_texts(
    ask: Ask, texts: Sequence[str], *, n_best: int, glossary: Mapping[str, str] | None = None
) -> list[list[str]]:
    """For each text its best translation and up to n_best - 1 different further ones.

    Hypothesis k of a text joins hypothesis k of each sentence (one that has fewer gives its best). Blank lines stay
    empty and never reach the model; all sentences of the request go to it together. A sentence that holds a term of the
    glossary is answered with that term's translation in it. Raises RuntimeError when the model answers with another
    number of sentences, UserError when it can't write a term.
    """
    cut = [_cut(text) for text in texts]
    asked = [piece.text for pieces in cut for piece in pieces if piece.text]
    required = [terms_of(sentence, glossary) for sentence in asked] if glossary else None
    answers = await ask(asked, required) if asked else []
    if len(answers) != len(asked) or not all(answers):
        raise RuntimeError(f"{len(asked)} lines in, {len(answers)} answers out, or an empty one")
    queue = iter(answers)
    return [_join(pieces, queue)[:n_best] for pieces in cut]


def _cut(text: str) -> list[Piece]:
    """The sentences of a text, the last one of a line with the break behind it; a blank line has one without text."""
    lines = BREAK.split(text)  # line, break, line, ..., break, line
    result: list[Piece] = []
    for line, end in zip(lines[::2], [*lines[1::2], ""], strict=True):
        *before, last = sentences(line) or [Piece("", "")]
        result += [*before, Piece(last.text, end)]
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


def _join(pieces: Sequence[Piece], answers: Iterator[Sequence[Translation]]) -> list[str]:
    """The distinct hypotheses of one text, best first; takes the next answer for each piece that is not blank."""
    options = [[found.text for found in next(answers)] if piece.text else [""] for piece in pieces]
    ranked = (
        [option[k] if k < len(option) else option[0] for option in options] for k in range(max(map(len, options)))
    )
    joined = (
        "".join([*(own + gap_behind(piece, own) for piece, own in zip(pieces[:-1], row[:-1], strict=True)), row[-1]])
        for row in ranked
    )
    return list(dict.fromkeys(joined))
