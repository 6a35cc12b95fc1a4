"""Reading dialogues: turns with tabs between, JSON lines, or the two files of Cornell's movie dialogues; `.gz` of each,
`-` for standard input. A line that is no dialogue stops the reading with its number, or is counted where the caller
says so."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from s2s.corpus.formats import Bad, DialogueFormat, Format, kind, suffix_format
from s2s.corpus.lines import STANDARD_INPUT, named, read_lines
from s2s.corpus.read import refusal
from s2s.corpus.split import corpus_hash
from s2s.errors import UserError
from s2s.text.ids import encodable

Dialogue = tuple[str, ...]
"""The turns of those who speak in turn, as texts."""

Read = TypeVar("Read")

_KEYS = ("dialog", "dialogue")
_END = "__eou__"  # behind each turn in DailyDialog's own files
_LIKE_JSON = re.compile(r"\s*(\{|\[\s*[\"{\[])")
_SAMPLE = 10  # lines that are looked at where a file's name says nothing
_LATIN = "iso-8859-1"  # of Cornell's files, unless they were converted
_FIELD = re.compile(r" ?\+\+\+\$\+\+\+ ?")  # between the fields of Cornell's files, whose last may be empty and trimmed
_LINE, _CONVERSATION = 5, 4  # fields of a line in each of the two
_BOTH = "movie_lines.txt, then movie_conversations.txt"


@dataclass(frozen=True)
class Dialogues:
    """The dialogues in the order of the file, how many bad lines were left out, from where and in which format."""

    dialogues: list[Dialogue]
    bad: int
    where: str
    format: DialogueFormat


def read_dialogues(paths: Sequence[str | Path], *, format: Format = "auto", skip_bad: bool = False) -> Dialogues:
    """The dialogues of one file, or of Cornell's two (the lines, then the conversations).

    `turns-tsv`: a dialogue a line, a tab between its turns (or `__eou__` behind each, as DailyDialog has it).
    `turns-jsonl`: a list of turns a line, or an object with such a list under "dialog" or "dialogue"; a turn is a text,
    or an object with the key "text"; ParlAI's exchanges (lists of such objects) follow each other.
    `auto`: two files are Cornell's; one is what its suffix says, else what its first lines look like. With `skip_bad`
    lines that are no dialogues are counted, not refused. A dialogue of one turn and turns without text are read as they
    are: `cut_dialogues` counts them.

    Raises:
        UserError: missing file, folder, broken gzip, not UTF-8, bad line, a format of pairs, no dialogues at all, one
            of Cornell's files without the other, or the two in the wrong order.
    """
    where = " and ".join(named(path) for path in paths)
    if _is_cornell(paths, format):
        known: DialogueFormat = "cornell"
        dialogues, bad = _cornell(paths[0], paths[1], skip_bad)
    else:
        lines = _one_file(paths[0], format)
        known = _line_format(paths[0], format, lines)
        parse = _json if known == "turns-jsonl" else _turns
        dialogues, bad = _parsed(paths[0], lines, known, parse, skip_bad)
    if not dialogues:
        lacking = f"none of {bad:,} lines is a dialogue" if bad else "empty, no dialogues to read"
        raise UserError(f"{where}: {lacking}. Check the format, read as {known}, or give a file with dialogues.")
    return Dialogues(dialogues, bad, where, known)


def dialogues_hash(dialogues: Iterable[Dialogue]) -> str:
    """SHA-256 over all turns in their order, and where each dialogue ends."""
    return corpus_hash((str(len(dialogue)), *dialogue) for dialogue in dialogues)


def _is_cornell(paths: Sequence[str | Path], format: Format) -> bool:
    """UserError when the format is not of dialogues, or does not go with so many files."""
    names = ("auto", *get_args(DialogueFormat))
    if format not in names:
        raise UserError(f"format {format} is of pairs, expected one of dialogues. Name one of {', '.join(names)}.")
    two = format == "cornell" or (format == "auto" and len(paths) == 2)
    if len(paths) != 1 + two:
        wanted = f"Cornell's two ({_BOTH})" if two else "one with a dialogue a line"
        raise UserError(f"got {len(paths)} files, expected {wanted}, for dialogues in the format {format}. Name these.")
    return two


def _one_file(path: str | Path, format: Format) -> list[str]:
    """UserError for one of Cornell's two, which may be in another encoding than the rest."""
    try:
        lines = _lines(path)
    except UserError:
        if format == "auto" and str(path) != STANDARD_INPUT:
            _refuse_half(path, _lines(path, otherwise=_LATIN))
        raise
    if format == "auto":
        _refuse_half(path, lines)
    return lines


def _refuse_half(path: str | Path, lines: Sequence[str]) -> None:
    if lines and len(_FIELD.split(lines[0])) in (_LINE, _CONVERSATION):
        raise UserError(f"{named(path)}: looks like one of Cornell's two files, expected both. Name {_BOTH}.")


def _line_format(path: str | Path, format: Format, lines: Sequence[str]) -> DialogueFormat:
    if format == "turns-tsv" or format == "turns-jsonl":
        return format
    if suffix := suffix_format(path):
        return "turns-jsonl" if suffix == "jsonl" else "turns-tsv"
    sample = [line for line in lines[:_SAMPLE] if line.strip()]
    return "turns-jsonl" if sample and all(map(_LIKE_JSON.match, sample)) else "turns-tsv"


def _lines(path: str | Path, *, otherwise: str | None = None) -> list[str]:
    """Without empty ones at the end."""
    lines = read_lines(path, otherwise=otherwise)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _parsed(
    path: str | Path, lines: Sequence[str], format: DialogueFormat, parse: Callable[[str], Read | Bad], skip_bad: bool
) -> tuple[list[Read], int]:
    """What the lines hold, and how many of them are bad. UserError at the first of these."""
    parsed = [parse(line) if line.strip() else Bad("an empty line") for line in lines]
    bad = [(number, one.found) for number, one in enumerate(parsed, start=1) if isinstance(one, Bad)]
    if bad and not skip_bad:
        raise refusal(named(path), format, bad[0], len(bad), len(lines))
    return [one for one in parsed if not isinstance(one, Bad)], len(bad)


def _turns(line: str) -> Dialogue:
    if _END in line:
        return tuple(turn.strip() for turn in line.strip().removesuffix(_END).split(_END))
    return tuple(line.split("\t"))


def _json(line: str) -> Dialogue | Bad:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Bad("no valid JSON")
    if isinstance(found, dict):
        under = [key for key in _KEYS if key in found]
        if not under:
            return Bad(f"an object without {' or '.join(map(repr, _KEYS))}")
        found = found[under[0]]
    if not isinstance(found, list):
        return Bad(f"{kind(found)} where a list of turns should stand")
    entries = _entries(found)
    faults = [entry for entry in entries if isinstance(entry, Bad)]
    return faults[0] if faults else tuple(entry for entry in entries if isinstance(entry, str)) or Bad("no turns")


def _entries(turns: Iterable[object]) -> list[str | Bad]:
    """A turn is a text or an object that has one; exchanges hold objects alone, so that no two dialogues become one."""
    found: list[str | Bad] = []
    for turn in turns:
        if isinstance(turn, list) and all(isinstance(one, dict) for one in turn):
            found += map(_entry, turn)
        else:
            found.append(_entry(turn))
    return found


def _entry(turn: object) -> str | Bad:
    text = turn.get("text") if isinstance(turn, dict) else turn
    if not isinstance(text, str):
        return Bad(
            "an object without a 'text'" if isinstance(turn, dict) else f"{kind(turn)} where a turn should stand"
        )
    return text if encodable(text) is text else Bad("half of a surrogate pair, which is no character")


def _cornell(lines: str | Path, conversations: str | Path, skip_bad: bool) -> tuple[list[Dialogue], int]:
    first, second = (_lines(path, otherwise=_LATIN) for path in (lines, conversations))
    if [len(_FIELD.split(file[0])) if file else 0 for file in (first, second)] == [_CONVERSATION, _LINE]:
        raise UserError(
            f"{named(lines)} and {named(conversations)}: the conversations stand before the lines, expected {_BOTH}."
            " Name them in this order."
        )
    said, bad = _parsed(lines, first, "cornell", _line, skip_bad)
    dialogues, more = _parsed(conversations, second, "cornell", partial(_conversation, dict(said)), skip_bad)
    return dialogues, bad + more


def _line(line: str) -> tuple[str, str] | Bad:
    """The name of the line and its text."""
    fields = _FIELD.split(line)
    return (fields[0], fields[-1].strip()) if len(fields) == _LINE else Bad(_fields(len(fields)))


def _conversation(texts: dict[str, str], line: str) -> Dialogue | Bad:
    fields = _FIELD.split(line)
    if len(fields) != _CONVERSATION:
        return Bad(_fields(len(fields)))
    try:
        names = ast.literal_eval(fields[3].strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return Bad("no list of lines")
    if lacking := [name for name in names if name not in texts]:
        return Bad(f"the line {lacking[0]!r}, which there is not")
    return tuple(texts[name] for name in names)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
