"""Reading pairs: one file of pairs (TSV, JSON lines, fixed width) or two parallel files, `.gz` of each, `-` for
standard input. A line that is no pair stops the reading with its number, or is counted when the caller says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from s2s.corpus.formats import (
    Bad,
    DialogueFormat,
    Format,
    LineFormat,
    Pair,
    expected,
    guess_format,
    line_parser,
    suffix_format,
)
from s2s.corpus.lines import STANDARD_INPUT, named, read_lines
from s2s.errors import UserError

__all__ = ["Format", "Pair", "ReadResult", "languages_of", "read_pairs"]

_LANGUAGE = r"[a-z]{2,3}(?:_[A-Za-z]{2,4})?"
_NOT_LANGUAGES = frozenset(
    ("tsv", "csv", "txt", "tab", "raw", "tok", "src", "tgt", "bpe", "spm", "out", "ref", "hyp", "tmp", "bak")
)


@dataclass(frozen=True)
class ReadResult:
    """The pairs in the order of the file, how many bad lines were left out, from where and in which format."""

    pairs: list[Pair]
    bad: int
    where: str
    format: Format


def read_pairs(
    paths: Sequence[str | Path],
    *,
    format: Format = "auto",
    skip_bad: bool = False,
    source_key: str = "source",
    target_key: str = "target",
) -> ReadResult:
    """The pairs of one file of pairs or of two parallel files (source first).

    `auto`: two paths are parallel files; one path is what its suffix says, else what its lines look like. With
    `skip_bad` lines that are no pairs are counted, not refused. The keys are of JSON lines, where they are looked for
    in the object and under "translation"; {"source", "target"} and {"src", "tgt"} always do. Texts keep their white
    space.
    UserError: missing file, folder, broken gzip, not UTF-8, bad line, different line counts, no pairs at all.
    """
    where = " and ".join(named(path) for path in paths)
    if wants_two(paths, format):
        result = ReadResult(_parallel(paths), 0, where, "parallel")
    else:
        result = _single(paths[0], format, skip_bad, (source_key, target_key))
    if not result.pairs:
        raise no_pairs(where, result.bad, result.format)
    return result


def languages_of(paths: Sequence[str | Path]) -> tuple[str | None, str | None]:
    """(source, target) codes from file names: `train.de.gz train.en`, `news.de-en.tsv`; None where there is none."""
    names = [Path(path).name.removesuffix(".gz").removesuffix(".txt") for path in paths]
    if len(names) == 2:
        return _last_code(names[0]), _last_code(names[1])
    for part in reversed(names[0].split(".")) if names else ():
        if both := re.fullmatch(f"({_LANGUAGE})-({_LANGUAGE})", part):
            return both[1], both[2]
    return None, None


def wants_two(paths: Sequence[str | Path], format: Format) -> bool:
    """Whether the paths are two parallel files. UserError when they and the format do not go together."""
    if format in get_args(DialogueFormat):
        raise UserError(f"format {format} is of dialogues, expected one of pairs. Name that, or auto.")
    if len(paths) not in (1, 2):
        raise UserError(f"got {len(paths)} files; give one file of pairs, or two parallel files (source, target).")
    if [str(path) for path in paths] == [STANDARD_INPUT] * 2:
        raise UserError("standard input (-) was given twice; it can be one side of the pairs or the pairs, not both.")
    if format == "parallel" and len(paths) == 1:
        raise UserError(f"format parallel needs two files (source, target), got only {named(paths[0])}.")
    if len(paths) == 2 and format not in ("auto", "parallel"):
        raise UserError(f"format {format} is one file with both sides, got two: {paths[0]} and {paths[1]}.")
    if len(paths) == 2 and format == "auto" and all(suffix_format(path) for path in paths):
        raise UserError(
            f"{paths[0]} and {paths[1]} each look like a file of pairs, but two files are read as parallel text. "
            "Join them into one file, or say format=parallel."
        )
    return len(paths) == 2


def _parallel(paths: Sequence[str | Path]) -> list[Pair]:
    sources, targets = (read_lines(path) for path in paths)
    if len(sources) != len(targets):
        raise unequal(paths, len(sources), len(targets))
    return [Pair(source, target) for source, target in zip(sources, targets, strict=True)]


def _single(path: str | Path, format: Format, skip_bad: bool, keys: tuple[str, str]) -> ReadResult:
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    known = line_format(path, format, lines)
    parse = line_parser(known, source_key=keys[0], target_key=keys[1])
    pairs: list[Pair] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        match parse(line):
            case Pair() as pair:
                pairs.append(pair)
            case Bad(found):
                bad.append((number, found))
    if bad and not skip_bad:
        raise refusal(named(path), known, bad[0], len(bad), len(lines))
    return ReadResult(pairs, len(bad), named(path), known)


def line_format(path: str | Path, format: Format, lines: list[str]) -> LineFormat:
    """The format of a file of pairs that begins with these lines."""
    match format:
        case "auto":
            return suffix_format(path) or guess_format(lines)
        case "tsv" | "jsonl" | "fixed":
            return format
    raise ValueError(f"format {format} is not of one file of pairs")


def refusal(name: str, format: LineFormat | DialogueFormat, first: tuple[int, str], bad: int, total: int) -> UserError:
    """The error for `bad` lines of `total`, the first of them with its number and what was found there."""
    number, found = first
    others = f" ({bad:,} of {total:,} lines are bad)" if bad > 1 else ""
    return UserError(
        f"{name}, line {number}: found {found}, expected {expected(format)}{others}. "
        "Mend the line, or leave such lines out and count them with --skip-bad."
    )


def unequal(paths: Sequence[str | Path], sources: int, targets: int) -> UserError:
    """The error for parallel files with these numbers of lines."""
    return UserError(
        f"parallel files need the same number of lines: {named(paths[0])} has {sources:,}, "
        f"{named(paths[1])} has {targets:,}. Line n of one translates line n of the other; align them again."
    )


def no_pairs(where: str, bad: int, format: Format) -> UserError:
    """The error for files without a single pair."""
    if bad:
        return UserError(f"{where}: none of {bad:,} lines is a pair. Check the format, read as {format}.")
    return UserError(f"{where}: empty, no pairs to read. Give a file with at least one pair.")


def _last_code(name: str) -> str | None:
    last = name.rpartition(".")[2]
    return last if "." in name and last not in _NOT_LANGUAGES and re.fullmatch(_LANGUAGE, last) else None
