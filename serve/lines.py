"""Texts of many lines for models that know only lines: cut at the breaks, translate, put the same breaks back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .protocols import Translation, Translator

BREAK = re.compile("(\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])")  # the breaks of str.splitlines


def translate_texts(translator: Translator, texts: Sequence[str], *, n_best: int) -> list[list[str]]:
    """For each text its best translation and up to n_best - 1 different further ones.

    Hypothesis k of a text joins hypothesis k of each line (a line that has fewer gives its best). Blank lines stay
    empty and never reach the model; all other lines of the request go to it together. Raises RuntimeError when it
    answers with another number of lines.
    """
    cut = [BREAK.split(text) for text in texts]  # line, break, line, ..., break, line
    lines = [line for pieces in cut for line in pieces[::2] if not blank(line)]
    answers = translator.translate(lines, n_best=n_best) if lines else []
    if len(answers) != len(lines) or not all(answers):
        raise RuntimeError(f"{translator.name}: {len(lines)} lines in, {len(answers)} answers out, or an empty one")
    queue = iter(answers)
    return [_join(pieces, queue)[:n_best] for pieces in cut]


def blank(line: str) -> bool:
    """Whether there is nothing to translate."""
    return not line.strip()


def _join(pieces: list[str], answers: Iterator[Sequence[Translation]]) -> list[str]:
    """The distinct hypotheses of one text, best first; takes the next answer for each line that is not blank."""
    options = [[""] if blank(line) else [found.text for found in next(answers)] for line in pieces[::2]]
    breaks = [*pieces[1::2], ""]
    ranked = (
        [option[k] if k < len(option) else option[0] for option in options] for k in range(max(map(len, options)))
    )
    joined = ("".join(map("".join, zip(lines, breaks, strict=True))) for lines in ranked)
    return list(dict.fromkeys(joined))
