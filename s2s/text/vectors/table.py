"""Words and their vectors."""

# N words, E numbers of a vector, K neighbours

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Vectors(NamedTuple):
    """The vectors of the words that were looked for and found."""

    words: list[str]
    """In the order of the file, which is by frequency as a rule."""
    values_NE: npt.NDArray[np.float32]
    size: int
    """E, also where nothing was found."""
    total: int
    """Vectors in the file."""
    first: tuple[str, ...]
    """The first few words of the file, found or not: they show what its words are like."""


def nearest(vectors: Vectors, row: int, count: int) -> list[tuple[str, float]]:
    """The `count` other words of the largest cosine with the word of a row, the nearest first, with the cosine."""
    values_NE = unit(vectors.values_NE)
    cosines_N = values_NE @ values_NE[row]
    cosines_N[row] = -np.inf
    rows_K = np.argsort(-cosines_N, kind="stable")[: min(count, len(cosines_N) - 1)]
    return [(vectors.words[i], float(cosines_N[i])) for i in rows_K]


def unit(values_NE: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each vector at length one; zeros stay."""
    lengths_N1 = np.linalg.norm(values_NE, axis=1, keepdims=True)
    lengths_N1[lengths_N1 == 0] = 1
    unit_NE: npt.NDArray[np.float32] = np.divide(values_NE, lengths_N1, dtype=np.float32)
    return unit_NE
