"""The line formats: each turns one line into a pair or says why it cannot; and how a format is told from its lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, assert_never

from s2s.text.ids import encodable

LineFormat = Literal["tsv", "jsonl", "fixed"]
DialogueFormat = Literal["turns-tsv", "turns-jsonl", "cornell"]
Format = Literal["auto", LineFormat, "parallel", DialogueFormat]

_SUFFIXES: dict[str, LineFormat] = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_SAMPLE = 1000
_EXPECTED: dict[LineFormat | DialogueFormat, str] = {
    "tsv": "two columns with one tab between them",
    "jsonl": 'one object a line such as {"source": "...", "target": "..."}',
    "fixed": 'a source, "_" and a target, as in "may 4, 2001   _2001-05-04"',
    "turns-tsv": "the turns of one dialogue with a tab between",
    "turns-jsonl": 'the turns of one dialogue, such as ["...", "..."] or {"dialog": [[{"id": "...", "text": "..."}]]}',
    "cornell": 'the signs " +++$+++ " between five fields (movie_lines.txt) or four (movie_conversations.txt), the'
    " last of which lists lines that there are",
}


class Pair(NamedTuple):
    """One example: a source text and its target text."""

    source: str
    target: str


@dataclass(frozen=True)
class Bad:
    """A line that is not a pair: what was found there."""

    found: str


def suffix_format(path: str | Path) -> LineFormat | None:
    """The format that a file's suffix names (`.gz` aside), or None."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def guess_format(lines: Sequence[str]) -> LineFormat:
    """The format of lines whose file name says nothing; TSV when nothing else fits, so that its message explains."""
    sample = [line for line in lines[:_SAMPLE] if line.strip()]
    if sample and all(line.lstrip().startswith("{") for line in sample[:10]):
        return "jsonl"
    return "fixed" if _looks_fixed(sample) else "tsv"


def expected(format: LineFormat | DialogueFormat) -> str:
    """What a line of the format looks like, for messages."""
    return _EXPECTED[format]


def line_parser(format: LineFormat, *, source_key: str, target_key: str) -> Callable[[str], Pair | Bad]:
    """The function that reads one line of the format."""
    match format:
        case "tsv":
            return _tsv
        case "jsonl":
            return lambda line: _json(line, source_key, target_key)
        case "fixed":
            return _fixed
        case _:
            assert_never(format)


def _looks_fixed(sample: Sequence[str]) -> bool:
    # The sign stands at one column in every line and nowhere else. A single line proves little unless it is padded.
    columns = {line.find("_") for line in sample}
    if len(columns) != 1 or min(columns) < 1 or any(line.count("_") != 1 or "\t" in line for line in sample):
        return False
    column = columns.pop()
    return len(sample) > 1 or sample[0][column - 1] == " "


def _tsv(line: str) -> Pair | Bad:
    if not line:
        return Bad("an empty line")
    columns = line.split("\t")
    if len(columns) == 2:
        return Pair(columns[0], columns[1])
    return Bad("1 column" if len(columns) == 1 else f"{len(columns)} columns")


def _fixed(line: str) -> Pair | Bad:
    if not line:
        return Bad("an empty line")
    source, sign, target = line.partition("_")
    if not sign or "_" in target:
        return Bad(f'{line.count("_")} signs "_"')
    return Pair(source.rstrip(" "), target.rstrip(" "))


def _json(line: str, source_key: str, target_key: str) -> Pair | Bad:
    if not line.strip():
        return Bad("an empty line")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Bad("no valid JSON")
    if not isinstance(found, dict):
        return Bad(f"{kind(found)}, not an object")
    for entry, keys in _places(found, source_key, target_key):
        if all(key in entry for key in keys):
            return _texts(entry[keys[0]], entry[keys[1]], keys)
    return Bad(f"the keys {_keys(found)} (looked for {source_key!r} and {target_key!r})")


def _places(found: dict[str, object], source_key: str, target_key: str) -> list[tuple[dict[str, object], list[str]]]:
    asked = [source_key, target_key]
    inner = found.get("translation")
    places = [(found, asked)]
    if isinstance(inner, dict):
        places.append((inner, asked))
    return [*places, (found, ["source", "target"]), (found, ["src", "tgt"])]


def _texts(source: object, target: object, keys: Sequence[str]) -> Pair | Bad:
    for key, text in zip(keys, (source, target), strict=True):
        if not isinstance(text, str):
            return Bad(f"{key!r} with {kind(text)}, not a text")
        if encodable(text) is not text:
            return Bad(f"{key!r} with half of a surrogate pair, which is no character")
    return Pair(str(source), str(target))


def kind(value: object) -> str:
    """What a value of JSON is, for messages."""
    match value:
        case None | True | False:
            return json.dumps(value)
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "a number"


def _keys(found: dict[str, object]) -> str:
    inner = found.get("translation")
    names = [repr(key) for key in found]
    if isinstance(inner, dict):
        names += [f"{'translation.' + str(key)!r}" for key in inner]
    return ", ".join(names[:8]) or "of an empty object"
