"""From a path to its lines: `.gz` or not, standard input or a file, strict UTF-8, split at line feeds alone."""

from __future__ import annotations

import codecs
import gzip
import sys
from pathlib import Path

from s2s.errors import UserError
from s2s.files import reading

STANDARD_INPUT = "-"
_GZIP = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: str | Path, *, otherwise: str | None = None) -> list[str]:
    """The lines without their ends (`\\n` or `\\r\\n`); the empty piece behind the last line feed is not a line.

    `-` is standard input. A byte order mark is dropped. UserError when there is no such file, it cannot be read, its
    gzip stream is broken or it is not UTF-8 (with line number and byte offset); with `otherwise`, a file that is
    not UTF-8 is read in that encoding, which must know every byte.
    """
    with reading(named(path)):
        content = sys.stdin.buffer.read() if str(path) == STANDARD_INPUT else Path(path).read_bytes()
        if packed(path, content):
            content = gzip.decompress(content)
    try:
        text = decoded(content, named(path), start=content)
    except UserError:
        if otherwise is None:
            raise
        text = content.decode(otherwise)
    return split_lines(text.removeprefix("\ufeff"))


def named(path: str | Path) -> str:
    """How messages call a path."""
    return "standard input" if str(path) == STANDARD_INPUT else str(path)


def packed(path: str | Path, start: bytes) -> bool:
    """Whether a file that starts like this is gzip data. UserError when its name says so and it is not."""
    if start and not start.startswith(_GZIP) and Path(path).suffix == ".gz":
        raise UserError(
            f"{named(path)} ends in .gz but is not gzip data. Take the suffix off, or fetch the file again."
        )
    return start.startswith(_GZIP)


def decoded(content: bytes, name: str, *, start: bytes, line: int = 1, offset: int = 0) -> str:
    """UTF-8 as text; UserError with line and byte offset.

    `content` stands at `offset` of a file, its first line is number `line`, and the file begins with `start`.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        guess = "UTF-16" if start.startswith(_UTF16) else "ISO-8859-1"
        raise UserError(
            f"{name}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x} at offset {offset + error.start:,}). "
            f"Convert the file first, for example: iconv -f {guess} -t UTF-8 OLD > NEW"
        ) from error


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
