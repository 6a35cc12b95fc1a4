"""Lengths in tokens of a store's texts: counted once for a pair of tokenizers, and kept beside the texts."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2s.corpus.examples import Ints, encode_pairs
from s2s.corpus.mapped.make import alone
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.mapped.pieces import LINES
from s2s.corpus.mapped.store import Store
from s2s.corpus.mapped.work import in_order
from s2s.text.tokenizer import Tokenizer, load_tokenizer

_DTYPE = "<u4"
KEPT = 8
"""Pairs of tokenizers whose lengths stay beside a store; those used last."""


@dataclass(frozen=True)
class _Task:
    """Pairs of a store whose tokens are counted, with the tokenizers of a folder."""

    store: Path
    tokenizers: Path
    start: int
    stop: int


def token_lengths(pairs: MappedPairs, source: Tokenizer, target: Tokenizer) -> Ints:
    """Tokens of each side, without BOS and EOS: (N, 2).

    UserError: no room, or the store is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizers = Path(folder)
        source.save(tokenizers, "source")
        target.save(tokenizers, "target")
        found = np.concatenate([_of_store(store, tokenizers) for store in pairs.stores])
    return found if pairs.rows is None else found[pairs.rows]


def _of_store(store: Store, tokenizers: Path) -> Ints:
    digest = hashlib.sha256()
    for path in sorted(tokenizers.iterdir()):
        digest.update(path.read_bytes())
    path = store.folder / f"lengths-{digest.hexdigest()[:16]}"
    if not _whole(path, store):
        with alone(store.folder):
            if not _whole(path, store):  # else another process has counted in the meantime
                _count(path, store, tokenizers)
                _forget(store.folder)
    path.touch()
    return np.fromfile(path, _DTYPE).reshape(-1, 2)


def _whole(path: Path, store: Store) -> bool:
    return path.is_file() and path.stat().st_size == len(store) * 2 * np.dtype(_DTYPE).itemsize


def _count(path: Path, store: Store, tokenizers: Path) -> None:
    starts = range(0, len(store), LINES)
    tasks = [_Task(store.folder, tokenizers, start, min(start + LINES, len(store))) for start in starts]
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as out:
            for lengths in in_order(_lengths, tasks, "counting tokens"):
                out.write(lengths)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _forget(folder: Path) -> None:
    """Remove the lengths of tokenizers that were not used for longest: 8 bytes a pair each, quickly counted again."""
    by_use = sorted(folder.glob("lengths-*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in by_use[KEPT:]:
        path.unlink(missing_ok=True)


def _lengths(task: _Task) -> bytes:
    store = Store(task.store, in_order=True)
    pairs = [store.pair(row) for row in range(task.start, task.stop)]
    examples = encode_pairs(pairs, load_tokenizer(task.tokenizers, "source"), load_tokenizer(task.tokenizers, "target"))
    return np.array([(len(one.source), len(one.target)) for one in examples], _DTYPE).tobytes()
