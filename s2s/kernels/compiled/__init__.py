"""The loops of the fused scans in C++, compiled on first use for the processor at hand (`build.py`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import torch

from s2s.kernels.compiled import build, elman, gru, gru_before, lstm, rwa, statistical
from s2s.kernels.compiled.call import NAMES
from s2s.kernels.fused import Engine, scans

_log = logging.getLogger("s2s")

ENGINE = Engine(
    rwa=rwa.LOOPS,
    lstm=lstm.LOOPS,
    gru=gru.LOOPS,
    gru_before=gru_before.LOOPS,
    elman=elman.LOOPS,
    statistical=statistical.LOOPS,
)
"""The loops in C++."""

SCANS = scans(ENGINE)
"""The scans whose loop is compiled, by `Cell.kernel` name."""


def unavailable(core: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why the core's loop can't be had here; None where it can. Builds what is not built yet."""
    if core not in SOURCES:
        return "no compiled loop computes it"
    if device.type != "cpu":
        return "it runs on the CPU alone"
    if dtype not in NAMES:
        return f"it is compiled for {', '.join(NAMES.values())}"
    return not_built(SOURCES[core]) or not_built("thin")


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


SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "rwa": "rwa",
        "lstm": "lstm",
        "lstm with peepholes": "lstm",
        "lstm without forget gate": "lstm",
        "lstm with peepholes without forget gate": "lstm",
        "gru": "gru",
        "gru with reset before the product": "gru_before",
        "elman tanh": "elman",
        "elman relu": "elman",
        "elman sigmoid": "elman",
        "statistical": "statistical",
        "statistical without recurrent statistics": "statistical",
    }
)
"""Which source serves a core."""
