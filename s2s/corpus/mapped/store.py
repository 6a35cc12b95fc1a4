"""The folder of a store: texts, offsets, hashes and marks of N pairs, and the manifest that was written last.

    manifest.json   what the rest is, and what it was made from
    text            source, target, source, target ... in UTF-8, without anything between them
    offsets         uint64 (2N + 1): where each text begins, and the end
    sources, pairs  uint64 (N): hashes of the sources, and of the pairs
    marks           uint8 (N)

All numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from s2s.corpus.formats import Format, LineFormat, Pair, suffix_format
from s2s.errors import UserError
from s2s.files import reading

VERSION = 1
MANIFEST = "manifest.json"
Column = Literal["sources", "pairs", "marks"]
DTYPES = MappingProxyType({"text": "u1", "offsets": "<u8", "sources": "<u8", "pairs": "<u8", "marks": "u1"})
"""The files of a store, with what stands in them."""

EMPTY, IDENTICAL = 1, 2
"""Marks of a pair: nothing but white space on one side; the same on both sides, up to outer white space."""

_PLACES = struct.Struct("<3Q")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileState(_Record):
    """A file as it was when the store was made."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """As it is now. UserError when there is none."""
        with reading(path):
            found = path.stat()
        return cls(path=str(path), size=found.st_size, mtime_ns=found.st_mtime_ns)


class Origin(_Record):
    """What a store is made from: files and how they are read."""

    files: tuple[FileState, ...]
    format: Format
    skip_bad: bool
    keys: tuple[str, str]

    @property
    def name(self) -> str:
        """Of the folder: the same for the same files, whatever stands in them."""
        asked = [VERSION, [file.path for file in self.files], self.format, self.skip_bad]
        if "jsonl" in (self.format, suffix_format(self.files[0].path)):  # one file may hold several directions
            asked.append(self.keys)
        return f"{Path(self.files[0].path).name}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}"


class FileRecord(_Record):
    """A file of the store."""

    bytes: int
    sha256: str


class Manifest(_Record):
    """What a store holds."""

    version: Literal[1]
    pairs: int
    bad: int
    format: LineFormat | Literal["parallel"]
    made_from: Origin
    files: dict[str, FileRecord]


class Store:
    """An opened store of N pairs, to be read `in_order` or here and there, by one thread.

    Texts are read from the file rather than through a mapping: a mapped page brings its neighbours, which count as
    memory of the process, and to let them go takes longer than to read (16 µs a pair instead of 5); and where the disk
    fails, reading raises an error, while a mapping ends the process.

    Raises:
        UserError: no manifest, or one of another version; a file is missing, unreadable or of another size.
    """

    def __init__(self, folder: Path, *, in_order: bool = False) -> None:
        self.folder, self.manifest = folder, read_manifest(folder)
        for name in DTYPES:
            os.close(self._open(name))
        self._text, self._offsets = self._kept("text", in_order), self._kept("offsets", in_order)

    def __len__(self) -> int:
        return self.manifest.pairs

    @property
    def sha256(self) -> str:
        """Of all texts in their order."""
        files = self.manifest.files
        return hashlib.sha256(f"{files['text'].sha256} {files['offsets'].sha256}".encode()).hexdigest()

    def pair(self, row: int) -> Pair:
        """One pair. UserError when it can't be read, or what stands there is no text."""
        start, middle, end = _PLACES.unpack(self._read(self._offsets, 16 * row, _PLACES.size))
        if not start <= middle <= end <= self.manifest.files["text"].bytes:
            raise damaged(self.folder, f"the offsets of pair {row + 1:,} are no places in its text")
        text = self._read(self._text, start, end - start)
        try:
            return Pair(text[: middle - start].decode(), text[middle - start :].decode())
        except UnicodeDecodeError:
            raise damaged(self.folder, f"pair {row + 1:,} is not UTF-8") from None

    def values(self, column: Column, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
        """What a column holds for these rows."""
        try:
            return np.array(np.memmap(self.folder / column, DTYPES[column], "r")[rows])
        except (OSError, ValueError, IndexError) as error:
            raise damaged(self.folder, f"its file {column} cannot be read ({error})") from None

    def _read(self, descriptor: int, start: int, size: int) -> bytes:
        try:
            os.lseek(descriptor, start, os.SEEK_SET)
            found = os.read(descriptor, size)
        except OSError as error:
            raise damaged(self.folder, f"it cannot be read ({error.strerror or error})") from None
        if len(found) != size:
            raise damaged(self.folder, "a file of it was cut off while it was in use")
        return found

    def _kept(self, name: str, in_order: bool) -> int:
        """The descriptor of a file, closed when the store is gone."""
        descriptor = self._open(name)
        weakref.finalize(self, os.close, descriptor)
        if not in_order and hasattr(os, "posix_fadvise"):  # else each pair brings the 128 KB around it from the disk
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        return descriptor

    def _open(self, name: str) -> int:
        record = self.manifest.files.get(name)
        if record is None:
            raise damaged(self.folder, f"its manifest does not name the file {name}")
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise damaged(self.folder, f"its file {name} cannot be read ({error.strerror or error})") from None
        found = os.fstat(descriptor)
        if found.st_size == record.bytes and stat.S_ISREG(found.st_mode):
            return descriptor
        os.close(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise damaged(self.folder, f"its file {name} is no file")
        raise damaged(self.folder, f"its file {name} has {found.st_size:,} bytes, expected {record.bytes:,}")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store. UserError when it is missing, not to be read, or of another version."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise damaged(folder, f"it has no {MANIFEST}") from None
    except OSError as error:
        raise damaged(folder, f"its {MANIFEST} cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise damaged(folder, f"its {MANIFEST} is no JSON") from None
    version = found.get("version") if isinstance(found, dict) else None
    if version != VERSION:
        raise damaged(folder, f"its {MANIFEST} is of version {version!r}, expected {VERSION}")
    try:
        manifest = Manifest.model_validate(found)
    except ValidationError as error:
        fault = error.errors()[0]
        raise damaged(folder, f"its {MANIFEST}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    sizes = {name: np.dtype(DTYPES[name]).itemsize * count for name, count in _counts(manifest.pairs)}
    if any(name in manifest.files and manifest.files[name].bytes != size for name, size in sizes.items()):
        raise damaged(folder, f"the sizes in its {MANIFEST} do not go with {manifest.pairs:,} pairs")
    return manifest


def _counts(pairs: int) -> Iterable[tuple[str, int]]:
    return (("offsets", 2 * pairs + 1), ("sources", pairs), ("pairs", pairs), ("marks", pairs))


def damaged(folder: Path, what: str) -> UserError:
    """The error for a store that can't be used."""
    return UserError(
        f"{folder}: this store of a corpus is damaged: {what}. Remove the folder; it is made again when it is needed"
    )
