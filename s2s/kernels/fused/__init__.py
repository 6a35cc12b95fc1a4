"""Scans with a hand-derived backward: one file a core. What surrounds the loop over time serves every engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

from s2s.kernels.fused import elman, gru, gru_before, lstm, rwa, statistical
from s2s.kernels.protocol import Run


class Engine(NamedTuple):
    """The loops over time of every core, in one language."""

    rwa: rwa.Loops
    lstm: lstm.Loops
    gru: gru.Loops
    gru_before: gru_before.Loops
    elman: elman.Loops
    statistical: statistical.Loops


def scans(engine: Engine) -> Mapping[str, Run]:
    """The scans that run on these loops, by `Cell.kernel` name."""
    run_lstm = partial(lstm.scan, loops=engine.lstm)
    run_statistical = partial(statistical.scan, loops=engine.statistical)
    return MappingProxyType(
        {
            "rwa": partial(rwa.scan, loops=engine.rwa),
            "lstm": run_lstm,
            "lstm with peepholes": run_lstm,
            "lstm without forget gate": run_lstm,
            "lstm with peepholes without forget gate": run_lstm,
            "gru": partial(gru.scan, loops=engine.gru),
            "gru with reset before the product": partial(gru_before.scan, loops=engine.gru_before),
            "elman tanh": partial(elman.scan, activation="tanh", loops=engine.elman),
            "elman relu": partial(elman.scan, activation="relu", loops=engine.elman),
            "elman sigmoid": partial(elman.scan, activation="sigmoid", loops=engine.elman),
            "statistical": run_statistical,
            "statistical without recurrent statistics": run_statistical,
        }
    )


PLAIN = Engine(
    rwa=rwa.PLAIN,
    lstm=lstm.PLAIN,
    gru=gru.PLAIN,
    gru_before=gru_before.PLAIN,
    elman=elman.PLAIN,
    statistical=statistical.PLAIN,
)
"""The loops in plain torch."""

SCANS = scans(PLAIN)
"""The scans whose loop is plain torch."""


def gives(core: str) -> Literal["hidden", "output"]:
    """What a scan of this core returns: the statistical unit reads its averages itself."""
    return "output" if core.startswith("statistical") else "hidden"
