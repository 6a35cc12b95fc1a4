"""Scans with a hand-derived backward: one file a core. What surrounds the loop over time serves every engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from s2s.kernels.fused import elman, gru, gru_before, lstm, rwa, statistical
from s2s.kernels.fused.products import product_dtype
from s2s.kernels.protocol import Run, State

HALF = (torch.float16, torch.bfloat16)


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
    runs: dict[str, Run] = {
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
    return MappingProxyType({name: partial(_in_wide_state, run) for name, run in runs.items()})


def _in_wide_state(
    run: Run, x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool
) -> tuple[Tensor, State]:
    """The loops want states and biases in float32: a layer in half precision is one in float32 under autocast."""
    vectors = [weight for weight in weights if weight.dim() < 2]
    if not any(part.dtype in HALF for part in (*state, *vectors)):
        return run(x_BTI, state, weights, lengths_B, every=every)
    with torch.autocast(x_BTI.device.type, product_dtype(weights[0])):
        wide_state, wide = (tuple(part.float() for part in parts) for parts in (state, weights))
        hidden_BTK, final = run(x_BTI, wide_state, wide, lengths_B, every=every)
    return hidden_BTK, tuple(after.to(before.dtype) for after, before in zip(final, state, strict=True))


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
