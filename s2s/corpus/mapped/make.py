"""Making a store: files cut into pieces, read by several processes, written by one; whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from s2s.corpus.formats import Format, LineFormat
from s2s.corpus.mapped.parse import Parsed, Task, parse
from s2s.corpus.mapped.pieces import cut, first_lines, is_packed, unpack
from s2s.corpus.mapped.store import DTYPES, MANIFEST, VERSION, FileRecord, FileState, Manifest, Origin, Store
from s2s.corpus.mapped.work import in_order
from s2s.corpus.read import line_format, no_pairs, refusal, unequal, wants_two
from s2s.errors import UserError

_SAMPLE = 1_000  # lines that tell a format
_UNPACKED = "unpacked-"
_log = logging.getLogger("s2s")


def open_store(
    paths: Sequence[str | Path],
    root: Path,
    *,
    format: Format = "auto",
    skip_bad: bool = False,
    source_key: str = "source",
    target_key: str = "target",
) -> Store:
    """The store of one file of pairs or of two parallel files below the folder `root`; made if there is none, or if
    the files have changed since.

    The arguments are those of `read_pairs`, and so are the errors, besides:
    UserError: no room, or the folder can't be written; the store that is there is damaged.
    """
    wants_two(paths, format)
    files = tuple(FileState.of(Path(path).absolute()) for path in paths)
    origin = Origin(files=files, format=format, skip_bad=skip_bad, keys=(source_key, target_key))
    folder = root / origin.name
    if (found := _present(folder, origin)) is not None:
        return found
    with alone(folder):
        if (found := _present(folder, origin)) is None:  # else another process has made it in the meantime
            _make(folder, origin)
    return found or Store(folder)


def _present(folder: Path, origin: Origin) -> Store | None:
    """The store, unless there is none or the files are not those that it was made from."""
    if not folder.exists():
        return None
    store = Store(folder)
    made, format = store.manifest.made_from, store.manifest.format
    now = origin if format == "jsonl" else origin.model_copy(update={"keys": made.keys})  # others have no keys
    return store if made == now else None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one process makes something of a store: the others wait. The lock is the system's and ends with its process.

    Within the context an error of writing is the user's to mend.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process, which prepares the same corpus")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within the context a disk that refuses is the user's to mend.

    Raises:
        UserError: it is full, or not to be written.
    """
    try:
        yield
    except OSError as error:
        free = next((shutil.disk_usage(place).free for place in folder.parents if place.is_dir()), 0)
        raise UserError(
            f"{folder}: the store of the corpus could not be written ({error.strerror or error};"
            f" {free / 2**20:,.0f} MiB are free there). Make room (it takes the size of the unpacked files and 33 bytes"
            " a pair), or name another folder with data.store; nothing half is left"
        ) from error


def _make(folder: Path, origin: Origin) -> None:
    started, beside = time.monotonic(), folder.with_name(f"{folder.name}.part")
    old = folder.with_name(f"{folder.name}.old")
    for left in (beside, old):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        beside.mkdir()
        manifest = _write(beside, origin)
        _write_manifest(beside / MANIFEST, manifest)
        if folder.exists():
            os.replace(folder, old)
        os.replace(beside, folder)
    finally:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)
    _log.info("mapped %s pairs into %s in %.0f s", f"{manifest.pairs:,}", folder, time.monotonic() - started)


def _write_manifest(path: Path, manifest: Manifest) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _write(folder: Path, origin: Origin) -> Manifest:
    """Everything but the manifest."""
    reading = _reading(folder, origin)
    with ExitStack() as stack:
        out = _Writer({name: _Out(stack.enter_context((folder / name).open("wb"))) for name in DTYPES})
        for parsed in in_order(parse, reading.tasks, "mapping pairs"):
            out.add(parsed)
        files = out.close()
    for unpacked in folder.glob(f"{_UNPACKED}*"):
        unpacked.unlink()
    _check(origin, reading, out)
    format = reading.format or "parallel"
    return Manifest(version=VERSION, pairs=out.pairs, bad=out.bad, format=format, made_from=origin, files=files)


def _check(origin: Origin, reading: _Reading, out: _Writer) -> None:
    """UserError for what only shows when everything was read."""
    names = [file.path for file in origin.files]
    if out.first is not None and reading.format is not None and not origin.skip_bad:
        raise refusal(names[0], reading.format, out.first, out.bad, reading.lines)
    if not out.pairs:
        raise no_pairs(" and ".join(names), out.bad, reading.format or "parallel")
    for file in origin.files:
        if FileState.of(Path(file.path)) != file:
            raise UserError(f"{file.path} was changed while it was read. Start again when nothing writes to it")


class _Reading(NamedTuple):
    """The pieces of the files, how their lines are read (None: two parallel files), and the number of lines."""

    tasks: list[Task]
    format: LineFormat | None
    lines: int


def _reading(folder: Path, origin: Origin) -> _Reading:
    names = [file.path for file in origin.files]
    paths = _plain(names, folder)
    if wants_two(names, origin.format):
        (left, sources), (right, targets) = (
            cut(path, name, without_end=False) for path, name in zip(paths, names, strict=True)
        )
        if sources != targets:
            raise unequal(names, sources, targets)
        return _Reading([Task(both, None, origin.keys) for both in zip(left, right, strict=True)], None, sources)
    pieces, lines = cut(paths[0], names[0], without_end=True)
    format = line_format(names[0], origin.format, first_lines(paths[0], names[0], _SAMPLE))
    return _Reading([Task((piece,), format, origin.keys) for piece in pieces], format, lines)


def _plain(names: Sequence[str], folder: Path) -> list[Path]:
    """The files, or where they were unpacked: one process a file."""
    paths = list(map(Path, names))
    packed = {path: folder / f"{_UNPACKED}{number}" for number, path in enumerate(paths) if is_packed(path)}
    for _ in in_order(_unpack, list(packed.items()), "unpacking"):
        pass
    return [packed.get(path, path) for path in paths]


def _unpack(paths: tuple[Path, Path]) -> None:
    unpack(*paths)


@dataclass
class _Out:
    """A file that is written once, with the hash of what was."""

    file: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, content: bytes) -> None:
        self.file.write(content)
        self.digest.update(content)

    def close(self) -> FileRecord:
        self.file.flush()
        os.fsync(self.file.fileno())
        return FileRecord(bytes=self.file.tell(), sha256=self.digest.hexdigest())


class _Writer:
    """The files of a store, to which one piece after the other is added."""

    def __init__(self, outs: dict[str, _Out]) -> None:
        self.outs, self.pairs, self.bad, self._end = outs, 0, 0, 0
        self.first: tuple[int, str] | None = None

    def add(self, parsed: Parsed) -> None:
        ends = np.cumsum([self._end, *parsed.sizes], dtype=DTYPES["offsets"])
        self.outs["text"].write(parsed.text)
        self.outs["offsets"].write(ends[:-1].tobytes())
        for name, content in parsed.columns.items():
            self.outs[name].write(content)
        self.pairs, self._end = self.pairs + len(parsed.sizes) // 2, int(ends[-1])
        self.bad, self.first = self.bad + parsed.bad, self.first or parsed.first

    def close(self) -> dict[str, FileRecord]:
        self.outs["offsets"].write(np.array([self._end], dtype=DTYPES["offsets"]).tobytes())
        return {name: out.close() for name, out in self.outs.items()}
