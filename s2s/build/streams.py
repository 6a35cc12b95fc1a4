"""Lines in as they arrive, files out whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

from s2s.errors import UserError

_BLOCK = 1 << 18


class Bytes(Protocol):
    """A buffered stream of bytes."""

    def read1(self, size: int = -1, /) -> bytes:
        """What has arrived, waiting for the first byte only; nothing at the end."""
        ...


def arriving(stream: Bytes, name: str, *, most: int = 1024) -> Iterator[list[str]]:
    """The lines of a stream in batches: all that have arrived, at most `most`; once one is there none is waited for.

    Only a line feed (with or without a carriage return before it) ends a line; a byte order mark is dropped.

    Raises:
        UserError: a line is not UTF-8 (with its number).
    """
    number = 0
    for lines in _whole_lines(stream):
        for start in range(0, len(lines), most):
            batch = lines[start : start + most]
            yield [_text(line, name, number + row) for row, line in enumerate(batch, start=1)]
            number += len(batch)


def _whole_lines(stream: Bytes) -> Iterator[list[bytes]]:
    rest: list[bytes] = []
    while data := stream.read1(_BLOCK):
        first, *more = data.split(b"\n")
        rest.append(first)
        if more:
            yield [b"".join(rest), *more[:-1]]
            rest = [more[-1]]
    if last := b"".join(rest):
        yield [last]


def _text(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}, line {number}: not UTF-8 ({error.reason} at byte {error.start + 1} of the line); convert it"
            " first, for example: iconv -f ISO-8859-1 -t UTF-8 OLD > NEW"
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text


@contextmanager
def reading(path: Path | None) -> Iterator[tuple[Bytes, str]]:
    """A file (`.gz` too), or standard input for None and `-`, and what messages call it.

    Raises:
        UserError: no such file, or it can't be read.
    """
    if path is None or str(path) == "-":
        yield cast(Bytes, sys.stdin.buffer), "standard input"
        return
    try:
        file = gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); expected a file of texts. Check the path") from None
    with file:
        try:
            yield cast(Bytes, file), str(path)
        except (gzip.BadGzipFile, EOFError) as error:
            raise UserError(f"{path}: broken gzip data ({error}); fetch or compress the file again") from None


@contextmanager
def writing(path: Path | None, option: str) -> Iterator[IO[str]]:
    """A file that takes its place when all is written (standard output for None and `-`); on any failure the old stays.

    Raises:
        UserError: it can't be written there.
    """
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    place = path.resolve()
    special = place.exists() and not place.is_file()  # a device or a pipe is written to as it is
    beside = place if special else place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        file = beside.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{option} {path}: can't be written ({error.strerror}); name another file") from None
    try:
        with file:
            yield file
        if not special:
            os.replace(beside, place)
    except BaseException:
        if not special:
            beside.unlink(missing_ok=True)
        raise


def json_line(value: dict[str, Any]) -> str:
    """One line of JSON, in plain letters where UTF-8 can write them."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair came in
        line = json.dumps(value)
    return f"{line}\n"
