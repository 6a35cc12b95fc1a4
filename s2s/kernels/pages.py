"""The memory of freed tensors, kept for the next ones (`compiled/source/pages.cpp`)."""

from __future__ import annotations

import sys
from functools import cache

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.build import library


@cache
def keep() -> bool:
    """From now on, torch's tensors on the CPU come from there. Returns whether that can be had; it is not undone."""
    if sys.platform != "linux" or not_built("pages") is not None:
        return False
    library("pages").pages_keep()
    return True


def give_back() -> None:
    """Free what waits for further tensors, if anything does."""
    if keep.cache_info().currsize and keep():
        library("pages").pages_give_back()
