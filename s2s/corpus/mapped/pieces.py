"""Files cut into pieces of whole lines, so that several processes can read them."""

from __future__ import annotations

import gzip
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2s.corpus.lines import decoded, packed, split_lines
from s2s.files import reading

LINES = 20_000
"""Of a piece."""
_BLOCK = 1 << 24  # bytes that are looked at together
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Piece:
    """The bytes `start` to `stop` of a file, whole lines of which the first is number `line`.

    `path` may be an unpacked copy of the file `name`.
    """

    path: Path
    name: str
    start: int
    stop: int
    line: int

    def lines(self) -> list[str]:
        """The lines without their ends. UserError when the file can't be read or is not UTF-8."""
        with reading(self.name), self.path.open("rb") as file:
            start = file.read(2)
            file.seek(self.start)
            content = file.read(self.stop - self.start)
        return split_lines(decoded(content, self.name, start=start, line=self.line, offset=self.start))


def is_packed(path: Path) -> bool:
    """Whether the file is gzip data. UserError when it can't be read, or its name is wrong about it."""
    with reading(path), path.open("rb") as file:
        return packed(path, file.read(2))


def unpack(path: Path, to: Path) -> None:
    """The gzip stream of a file as a plain file. UserError when it is broken, OSError when `to` can't be written."""
    with to.open("wb") as out:
        for block in _unpacked(path):
            out.write(block)


def _unpacked(path: Path) -> Iterator[bytes]:
    with reading(path), gzip.open(path) as file:
        while block := file.read(_BLOCK):
            yield block


def cut(path: Path, name: str, *, without_end: bool) -> tuple[list[Piece], int]:
    """The pieces of a file and the number of its lines; `without_end` leaves out blank lines at the end.

    The empty piece behind the last line feed is not a line, nor does a byte order mark belong to the first one.
    """
    with reading(name), path.open("rb") as file:
        size = file.seek(0, 2)
        end = _end_of_text(file.fileno(), size) if without_end and size else size
        file.seek(0)
        position = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
        file.seek(position)
        starts, lines, last = [position], 0, b"\n"
        while block := file.read(max(0, min(_BLOCK, end - position))):
            count, wanted = block.count(b"\n"), LINES * len(starts) - lines
            if wanted <= count:
                ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
                starts += (position + ends[wanted - 1 :: LINES]).tolist()
            lines, position, last = lines + count, position + len(block), block[-1:]
    lines += last != b"\n"
    stops = [*starts[1:], position]
    numbers = range(1, lines + 1, LINES)
    return [Piece(path, name, *place) for place in zip(starts, stops, numbers, strict=False)], lines


def first_lines(path: Path, name: str, count: int) -> list[str]:
    """The first lines of a file, to tell its format from; what is not UTF-8 is replaced."""
    with reading(name), path.open("rb") as file:
        content = b"".join(file.readline() for _ in range(count))
    return split_lines(content.removeprefix(_BOM).decode("utf-8", "replace"))


def _end_of_text(descriptor: int, size: int) -> int:
    """Where the last line ends that is not blank."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        end = size
        while end > 0:
            stop = end - (content[end - 1] == ord("\n"))
            start = content.rfind(b"\n", 0, stop) + 1
            line = content[start:stop] if start else content[:stop].removeprefix(_BOM)
            if line.decode("utf-8", "replace").strip():
                return end
            end = start
    return 0
