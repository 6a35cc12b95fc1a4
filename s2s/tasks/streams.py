"""Random numbers that stay the same for good: a stream of its own for each row, whatever rows stand beside it.

Only the raw stream of PCG64 under a SeedSequence is used, which NumPy's compatibility policy freezes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CHUNK = 64


def uniforms(rows: Sequence[int], count: int, *, seed: int, epoch: int, fresh: range) -> npt.NDArray[np.float64]:
    """(len(rows), count) numbers of [0, 1), those of a row from its own stream (see `Stream`)."""
    raw = np.empty((len(rows), count), dtype=np.uint64)
    for i, row in enumerate(rows):
        raw[i] = _generator(row, seed, epoch, fresh).random_raw(count)
    raw >>= np.uint64(11)
    return np.ldexp(raw.astype(np.float64), -53)


class Stream:
    """A row's stream read number by number, for examples that are not known beforehand to need so many.

    Rows of `fresh` have another stream in each epoch, others always that of epoch 0.
    """

    def __init__(self, row: int, *, seed: int, epoch: int, fresh: range) -> None:
        self._generator = _generator(row, seed, epoch, fresh)
        self._ready: list[int] = []

    def below(self, count: int) -> int:
        """A number of 0..count - 1, for a small count."""
        if not self._ready:
            raw = self._generator.random_raw(_CHUNK) >> np.uint64(11)
            self._ready = raw.tolist()[::-1]
        return self._ready.pop() * count >> 53


def _generator(row: int, seed: int, epoch: int, fresh: range) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence((seed, epoch if row in fresh else 0, row)))
