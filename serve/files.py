"""Translated files until they are fetched: in memory, not many, not for long, under names that nobody guesses."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

SECONDS = 600  # that a file waits
MOST_BYTES = 64 * 2**20  # of all that wait; beyond, the oldest go first


class File(NamedTuple):
    """What is fetched."""

    data: bytes
    media_type: str


class Shelf:
    """Files by name. Whoever has the name may fetch the file, so it is random; it is never a path."""

    def __init__(self, *, most: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._files: OrderedDict[str, tuple[float, File]] = OrderedDict()
        self._most, self._clock = most, clock

    def put(self, file: File, suffix: str) -> str:
        """The name under which it can be fetched from now on."""
        name = secrets.token_urlsafe(24) + suffix
        self._files[name] = (self._clock() + SECONDS, file)
        self._clear()
        return name

    def get(self, name: str) -> File | None:
        self._clear()
        found = self._files.get(name)
        return None if found is None else found[1]

    def _clear(self) -> None:
        size = sum(len(file.data) for _, file in self._files.values())
        while self._files:
            name, (until, file) = next(iter(self._files.items()))
            if until > self._clock() and size <= self._most:
                break
            size -= len(file.data)
            del self._files[name]
