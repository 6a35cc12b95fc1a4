"""Word vectors as the bytes of a file in word2vec's formats, which gensim, spaCy and others read too."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def vector_bytes(words: Sequence[str], values_NE: npt.NDArray[np.float32], *, text: bool) -> bytes:
    """A first line with count and size, then the words (which hold no white space) with their vectors.

    As text a number has as many digits as it takes to read the same float32 again.
    """
    out = io.BytesIO()
    out.write(f"{len(words)} {values_NE.shape[1]}\n".encode())
    for word, vector_E in zip(words, values_NE, strict=True):
        numbers = " ".join(map(str, vector_E)).encode() if text else vector_E.astype("<f4").tobytes()
        out.write(word.encode() + b" " + numbers + b"\n")
    return out.getvalue()
