"""Word vectors from text files: those of word2vec (a first line with count and size) and of GloVe (without it).

Shapes: N words found, E size of a vector.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s.errors import UserError


class Vectors(NamedTuple):
    """The vectors of the words that were looked for and found."""

    words: list[str]
    values_NE: npt.NDArray[np.float32]
    size: int
    """E, also where nothing was found."""
    total: int
    """Vectors in the file."""


def read_vectors(path: str | Path, wanted: Collection[str]) -> Vectors:
    """The vectors of the `wanted` words; the file (`.gz` or not) is read line by line and only these are kept.

    Of a word that stands there twice the first vector counts. A word may contain spaces (some of GloVe's do): the last
    E fields are the vector. What is not UTF-8 reads as U+FFFD, for word2vec cuts words at bytes.

    Raises:
        UserError: no such file, it cannot be read, or a line does not hold a word and E finite numbers (with its
            number).
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    size, total = 0, 0
    for number, line in enumerate(_lines(path), start=1):
        if number == 1 and _is_header(line):
            size = int(line.split()[1])
            continue
        size = size or line.count(" ")
        word, *fields = line.rsplit(" ", size) if size else [line]
        if not size or len(fields) != size:
            raise UserError(_bad(path, number, f"{len(fields)} numbers", size))
        total += 1
        if word in wanted and word not in found:
            found[word] = _vector(path, number, fields)
    if not size:
        raise UserError(f"{path}: no word vectors, the file is empty; expected a word and its numbers on each line")
    rows = [*found.values()]
    return Vectors([*found], np.stack(rows) if rows else np.empty((0, size), np.float32), size, total)


def _lines(path: str | Path) -> Iterator[str]:
    """Without line feeds and spaces at the end (word2vec writes one there); blank lines are left out."""
    opener = gzip.open if Path(path).suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                if stripped := line.rstrip("\r\n \t").replace("\t", " "):
                    yield stripped
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file. Check the path; it is looked up from {Path.cwd()}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}. Check the path and fetch the file again.") from error


def _is_header(line: str) -> bool:
    """Count and size. (A word with one number would look the same, but no such vectors are of use.)"""
    fields = line.split()
    return len(fields) == 2 and all(field.isdecimal() for field in fields) and int(fields[1]) > 0


def _vector(path: str | Path, number: int, fields: list[str]) -> npt.NDArray[np.float32]:
    try:
        vector = np.array(fields, np.float32)
    except ValueError:
        raise UserError(_bad(path, number, "something that is no number", len(fields))) from None
    if not np.isfinite(vector).all():
        raise UserError(_bad(path, number, "a number that is not finite", len(fields)))
    return vector


def _bad(path: str | Path, number: int, got: str, size: int) -> str:
    expected = f"a word and {size} numbers" if size else "a word and its numbers"
    return (
        f"{path}, line {number:,}: got {got}, expected {expected} with spaces between (the text format of word2vec or"
        " GloVe). Repair the line, or convert the file"
    )
