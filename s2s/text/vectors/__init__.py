"""Word vectors: read from files, written to them, trained, and made to fit the tokens of a vocabulary."""

from __future__ import annotations

from s2s.text.vectors.learn import LONGEST, Learning, learn_vectors
from s2s.text.vectors.read import read_vectors
from s2s.text.vectors.table import Vectors, nearest
from s2s.text.vectors.tokens import Covered, token_vectors
from s2s.text.vectors.write import vector_bytes

__all__ = [
    "LONGEST",
    "Covered",
    "Learning",
    "Vectors",
    "learn_vectors",
    "nearest",
    "read_vectors",
    "token_vectors",
    "vector_bytes",
]
