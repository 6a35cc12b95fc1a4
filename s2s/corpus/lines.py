"""From a path to its lines: `.gz` or not, standard input or a file, strict UTF-8, split at line feeds alone."""

from __future__ import annotations

import codecs
import gzip
import sys
import zlib
from pathlib import Path

from s2s.errors import UserError

STANDARD_INPUT = "-"
_GZIP = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: str | Path) -> list[str]:
    """The lines without their ends (`\\n` or `\\r\\n`); the empty piece behind the last line feed is not a line.

    `-` is standard input. A byte order mark is dropped. UserError when there is no such file, it cannot be read, its
    gzip stream is broken or it is not UTF-8 (with line number and byte offset).
    """
    name = named(path)
    lines = _decoded(_unpacked(_read(path, name), path, name), name).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def named(path: str | Path) -> str:
    """How messages call a path."""
    return "standard input" if str(path) == STANDARD_INPUT else str(path)


def _read(path: str | Path, name: str) -> bytes:
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file. Check the path; it is looked up from {Path.cwd()}.") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder, a file was expected. Name the file inside it.") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}. Check the path and its rights.") from error


def _unpacked(content: bytes, path: str | Path, name: str) -> bytes:
    if not content.startswith(_GZIP):
        if content and Path(path).suffix == ".gz":
            raise UserError(f"{name} ends in .gz but is not gzip data. Take the suffix off, or fetch the file again.")
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name} is broken gzip data ({error}). Fetch or compress the file again.") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        guess = "UTF-16" if content.startswith(_UTF16) else "ISO-8859-1"
        raise UserError(
            f"{name}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x} at offset {error.start:,}). Convert "
            f"the file first, for example: iconv -f {guess} -t UTF-8 OLD > NEW"
        ) from error
