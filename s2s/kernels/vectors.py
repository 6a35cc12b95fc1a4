"""What this processor multiplies in vectors, as `compiled/source/dense.cpp` was compiled for it."""

from __future__ import annotations

from functools import cache

import torch

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.build import library


@cache
def multiplies_pairs() -> bool:
    """Pairs of bfloat16, where there are no matrix units that would be faster."""
    matrix_units = bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
    return not matrix_units and not_built("dense") is None and bool(library("dense").dense_there())


@cache
def multiplies_fours() -> bool:
    """Fours of 8 bits besides."""
    return multiplies_pairs() and bool(library("dense").dense_eight_there())
