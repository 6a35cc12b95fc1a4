"""Loops and products in C++, compiled on first use for the processor at hand (`build.py`)."""

from __future__ import annotations

import logging
from functools import cache

from s2s.kernels.compiled import build

_log = logging.getLogger("s2s")


@cache
def not_built(source: str) -> str | None:
    """Why a source can't be had here; None where it can. Builds it if need be."""
    try:
        build.library(source)
    except build.BuildFailed as error:
        _say_once(str(error))
        return str(error)
    return None


@cache
def _say_once(reason: str) -> None:
    """Cached, so that a missing compiler is not named for each core."""
    _log.warning("The compiled scans can't be had, slower ones serve: %s", reason)
