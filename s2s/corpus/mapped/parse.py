"""A piece of the files as what a store holds of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s.corpus.examples import Ints
from s2s.corpus.formats import Bad, LineFormat, Pair, line_parser
from s2s.corpus.mapped.pieces import Piece
from s2s.corpus.mapped.store import EMPTY, IDENTICAL, Column


@dataclass(frozen=True)
class Task:
    """One piece of a file of pairs, or the same lines of two parallel files (whose format is None)."""

    pieces: tuple[Piece, ...]
    format: LineFormat | None
    keys: tuple[str, str]


@dataclass(frozen=True)
class Parsed:
    """The pairs of a piece, and its lines that are none.

    Attributes:
        text: source, target, source, target ... in UTF-8.
        sizes: bytes of each of these.
        columns: the hashes of the sources and of the pairs, and the marks.
        bad: how many lines are no pairs.
        first: the first of these, with its number and what was found there.
    """

    text: bytes
    sizes: Ints
    columns: dict[Column, bytes]
    bad: int
    first: tuple[int, str] | None


def parse(task: Task) -> Parsed:
    """Read one piece. UserError when it can't be read or is not UTF-8."""
    if task.format is None:
        sources, targets = (piece.lines() for piece in task.pieces)
        return _gathered(list(map(Pair, sources, targets)), [])
    read = line_parser(task.format, source_key=task.keys[0], target_key=task.keys[1])
    found = [read(line) for line in task.pieces[0].lines()]
    bad = [(number, line.found) for number, line in enumerate(found, task.pieces[0].line) if isinstance(line, Bad)]
    return _gathered([pair for pair in found if isinstance(pair, Pair)], bad)


def _gathered(pairs: Sequence[Pair], bad: Sequence[tuple[int, str]]) -> Parsed:
    texts = [text.encode() for pair in pairs for text in pair]
    columns: dict[Column, bytes] = {
        "sources": b"".join(hashed(source) for source in texts[::2]),
        "pairs": b"".join(map(hashed, texts[::2], texts[1::2])),
        "marks": bytes(_marks(pair) for pair in pairs),
    }
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    return Parsed(b"".join(texts), sizes, columns, len(bad), bad[0] if bad else None)


def hashed(*texts: bytes) -> bytes:
    """64 bits of the texts and their borders: among 100 million, a chance of 1 in 3,700 that two unlike ones agree."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(b"%d:" % len(text))
        digest.update(text)
    return digest.digest()


def _marks(pair: Pair) -> int:
    source, target = pair.source.strip(), pair.target.strip()
    return (0 if source and target else EMPTY) | (IDENTICAL if source == target else 0)
