"""Word vectors from files, told apart by their content: the text of word2vec (a first line with count and size) and of
GloVe (without it), and word2vec's binary format; each as it is or packed with gzip."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from s2s.errors import UserError
from s2s.files import reading
from s2s.text.vectors.table import Vectors

_BLOCK = 1 << 16
_FIRST = 3
_LONGEST_WORD = 1 << 16  # bytes; where no blank comes for so long there is no word
_HEADER = re.compile(rb"\s*(\d+)\s+([1-9]\d*)\s*")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


class _Record(NamedTuple):
    word: str
    place: int
    """The line, or in the binary format which vector it is; from 1."""
    numbers: list[str] | bytes


def read_vectors(path: str | Path, wanted: Collection[str] | None = None) -> Vectors:
    """The vectors of the `wanted` words (None: of all); the file is read in pieces and only these are kept.

    Of a word that stands there twice the first vector counts. In text a word may contain spaces (some of GloVe's do):
    the last E fields are the vector. What is not UTF-8 in a word reads as U+FFFD, for word2vec cuts words at bytes.

    Raises:
        UserError: no such file, it cannot be read, it is in none of the formats (a pickle is never loaded), a line does
            not hold a word and E finite numbers (with its number), or it ends before its first line says.
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    first: list[str] = []
    with _opened(path) as file:
        start = file.peek(_BLOCK)
        count, size = _header(start)
        _refuse_other_formats(path, start if not size else b"")
        if size:
            file.readline()
        binary = bool(size) and _is_binary(file.peek(_BLOCK), size)
        total = 0
        for record in _binary_records(path, file, count, size) if binary else _text_records(path, file, size):
            total += 1
            if len(first) < _FIRST:
                first.append(record.word)
            if (wanted is None or record.word in wanted) and record.word not in found:
                found[record.word] = _vector(path, record)
            size = size or len(record.numbers)
    _refuse_incomplete(path, total, count)
    rows = [*found.values()]
    return Vectors([*found], np.stack(rows) if rows else np.empty((0, size), np.float32), size, total, tuple(first))


@contextmanager
def _opened(path: str | Path) -> Iterator[io.BufferedReader]:
    """The content, unpacked if it is gzip data.

    Raises:
        UserError: no such file, or it cannot be read; also while it is read.
    """
    with reading(path, "a file of word vectors"), _buffered(io.FileIO(path)) as file:
        packed = file.peek(2).startswith(b"\x1f\x8b")
        yield _buffered(gzip.GzipFile(fileobj=file)) if packed else file


def _buffered(raw: io.FileIO | gzip.GzipFile) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, raw), _BLOCK)


def _header(start: bytes) -> tuple[int, int]:
    """Count and size of a first line that holds nothing else, else zeros.

    (A word with one number would look the same, but no such vectors are of use.)
    """
    line = start.partition(b"\n")[0]
    match = _HEADER.fullmatch(line)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _refuse_other_formats(path: str | Path, start: bytes) -> None:
    """UserError for what begins like no text."""
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise UserError(
            f"{path} is a pickle, as gensim's own save() writes it; loading one can run any program, so none is loaded."
            ' Convert a file that you trust, where gensim is installed:\n  python -c "from gensim.models import'
            f" KeyedVectors; KeyedVectors.load('{path}').save_word2vec_format('vectors.bin', binary=True)\"\n"
            "(of a whole Word2Vec model: Word2Vec.load('...').wv.save_word2vec_format(...))"
        )
    if start.startswith(b"PK\x03\x04"):
        raise UserError(f"{path} is a zip archive; unpack it and name the file inside it")
    if _CONTROLS.search(start):
        raise UserError(
            f"{path} is in none of the formats of word vectors that are read: text of word2vec or GloVe (UTF-8), or"
            " word2vec's binary format, whose first line is text. Convert it (of fastText take the .vec file)"
        )


def _is_binary(start: bytes, size: int) -> bool:
    """Whether what follows a first line of count and size is binary: no text line, and no text at all.

    Numbers whose bytes happen to be letters are told from a broken line of text by this: nothing in it is a number.
    """
    line = start.partition(b"\n")[0].rstrip(b"\r \t").replace(b"\t", b" ")
    _, *fields = line.rsplit(b" ", size)
    numbers = sum(map(_is_number, fields))
    if fields and numbers == size:
        return False
    no_text = bool(_CONTROLS.search(start)) or "\ufffd" in start.decode("utf-8", errors="replace")[:-1]
    return no_text or (bool(fields) and not numbers)


def _is_number(field: bytes) -> bool:
    try:
        return bool(np.isfinite(float(field)))
    except ValueError:
        return False


def _text_records(path: str | Path, file: io.BufferedReader, size: int) -> Iterator[_Record]:
    """The lines without blank ones and without spaces at the end (word2vec writes one there)."""
    lines = io.TextIOWrapper(cast(BinaryIO, file), encoding="utf-8", errors="replace", newline="\n")
    try:
        for number, line in enumerate(lines, start=2 if size else 1):
            stripped = line.rstrip("\r\n \t").replace("\t", " ")
            if not stripped:
                continue
            size = size or stripped.count(" ")
            word, *numbers = stripped.rsplit(" ", size) if size else [stripped]
            if not size or len(numbers) != size:
                raise UserError(_bad_line(path, number, f"{len(numbers)} numbers", size))
            yield _Record(word.removeprefix("\ufeff") if number == 1 else word, number, numbers)
    finally:
        lines.detach()  # or it would close the file


def _binary_records(path: str | Path, file: io.BufferedReader, count: int, size: int) -> Iterator[_Record]:
    """Each is a word, a blank and E float32; word2vec itself writes a line feed behind, gensim does not."""
    width, rest, at = 4 * size, b"", 0
    for place in range(1, count + 1):
        blank = rest.find(b" ", at)
        while blank < 0 or len(rest) < blank + 1 + width:
            more = file.read(max(_BLOCK, width)) if blank >= 0 or len(rest) - at < _LONGEST_WORD else b""
            if not more:
                raise UserError(
                    f"{path} ends, or goes wrong, in vector {place:,} of the {count:,} (of {size} numbers) that its"
                    " first line says. Fetch the file again"
                )
            rest, at = rest[at:] + more, 0
            blank = rest.find(b" ")
        word = rest[at:blank].lstrip(b"\n").decode("utf-8", errors="replace")
        at = blank + 1 + width
        yield _Record(word, place, rest[blank + 1 : at])


def _vector(path: str | Path, record: _Record) -> npt.NDArray[np.float32]:
    match record.numbers:
        case bytes(raw):
            vector = np.frombuffer(raw, "<f4").astype(np.float32)
        case fields:
            try:
                vector = np.array(fields, np.float32)
            except ValueError:
                bad = _bad_line(path, record.place, "something that is no number", len(fields))
                raise UserError(bad) from None
    if not np.isfinite(vector).all():
        if isinstance(record.numbers, bytes):
            raise UserError(
                f"{path}, vector {record.place:,} ({record.word!r}): holds a number that is not finite. Fetch or make"
                " the file again"
            )
        raise UserError(_bad_line(path, record.place, "a number that is not finite", len(vector)))
    return vector


def _bad_line(path: str | Path, number: int, got: str, size: int) -> str:
    expected = f"a word and {size} numbers" if size else "a word and its numbers"
    return (
        f"{path}, line {number:,}: got {got}, expected {expected} with spaces between (the text format of word2vec or"
        " GloVe). Repair the line, or convert the file"
    )


def _refuse_incomplete(path: str | Path, total: int, count: int) -> None:
    if total < count:
        raise UserError(
            f"{path} holds {total:,} vectors, its first line says {count:,}: the file is incomplete. Fetch it again, or"
            " mend the first line"
        )
    if not total:
        raise UserError(f"{path}: no word vectors, the file is empty; expected a word and its numbers on each line")
