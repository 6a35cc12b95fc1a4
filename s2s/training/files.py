"""Files that are whole or not there: written beside, flushed to the disk, then moved into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s2s.errors import UserError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then move it there; on any failure the old file stays.

    Raises:
        UserError: the disk refused (full, read-only, no permission).
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            write(beside)
            flush(beside)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Text, whole or not at all."""
    write_atomically(path, lambda beside: _write(beside, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Within the context a full or read-only disk is the user's to mend; any other error stays what it is.

    Raises:
        UserError: the disk refused.
    """
    try:
        yield
    except Exception as error:
        wrapped = disk_error(path, error)
        if wrapped is error:
            raise
        raise wrapped from error


def disk_error(path: Path, error: Exception) -> Exception:
    """A full or read-only disk as the user's to mend; anything else as it is."""
    text = str(error)
    refused = isinstance(error, OSError) or any(sign in text.lower() for sign in ("os error", "i/o error", "ioerror"))
    if isinstance(error, UserError) or not refused:
        return error
    free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
    forbidden = any(sign in text.lower() for sign in ("permission", "read-only", "not permitted"))
    advice = "make the place writable" if forbidden else f"make room ({free / 2**20:,.0f} MiB are free there)"
    return UserError(
        f"{path}: could not be written ({text}). The state saved before it is intact: {advice},"
        " then go on with `s2s train --resume`"
    )


def flush(path: Path) -> None:
    """Bring a file's (or folder's) content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
