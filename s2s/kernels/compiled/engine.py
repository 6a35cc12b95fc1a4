"""The loops of the fused scans in C++."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from s2s.kernels.compiled import elman, gru, gru_before, lstm, not_built, rwa, statistical
from s2s.kernels.compiled.call import NAMES
from s2s.kernels.fused import Engine, scans

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
