"""The loops of `s2s.kernels.fused.fed` in C++.

Shapes: B batch, T target positions, G gates, H hidden, U what is fed, F features, S source positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.kernels.compiled import not_built
from s2s.kernels.compiled.call import NAMES, call
from s2s.kernels.fused.fed_contract import Gradients, Kept, Loops, Source, Upstream, Weights, results, room
from s2s.kernels.protocol import State


def unavailable(dtype: torch.dtype) -> str | None:
    """Why the loops can't be had here; None where they can. Builds what is not built yet."""
    return not_built("fed") if dtype in NAMES else f"they are compiled for {', '.join(NAMES.values())}"


def _forward(
    gates_BTG: Tensor,
    read_BTF: Tensor | None,
    state: State,
    weights: Weights,
    source: Source,
    /,
    *,
    previous: bool,
) -> Kept:
    kept = room(gates_BTG, read_BTF, state, weights, source)
    call("fed", "fed_forward", _sizes(kept, previous), None, *kept, *_given(state, weights, source))
    return kept


def _backward(
    kept: Kept, state: State, weights: Weights, source: Source, upstream: Upstream, /, *, previous: bool
) -> Gradients:
    out = results(kept, state, weights, source)
    written = (*out[:-1], *_pair(out.dstate))
    call(
        "fed", "fed_backward", _sizes(kept, previous), None, *kept, *_given(state, weights, source), *upstream, *written
    )
    return out


def _sizes(kept: Kept, previous: bool) -> tuple[int, ...]:
    """B, T, H, gates, A, E, F, S, and whether the previous state asks."""
    batch, time, hidden = kept.h_BTH.shape
    features = 0 if kept.features_BTF is None else kept.features_BTF.shape[2]
    widths = (kept.query_BTA.shape[2], kept.context_BTE.shape[2], features, kept.weights_BTS.shape[2])
    return batch, time, hidden, kept.gates_BTG.shape[2] // hidden, *widths, int(previous)


def _given(state: State, weights: Weights, source: Source) -> tuple[Tensor | None, ...]:
    """State, [U, W_f] side by side since the gates read [h; u], the other weights, the source."""
    joined = torch.cat([weights.recurrent_GH, weights.feeding_GU], 1)
    vectors = [None if part is None else part.contiguous() for part in (weights.bias_n_H, weights.energy_A)]
    return *_pair(state), joined, weights.query_AH, weights.reading_FK, *vectors, *source


def _pair(state: State) -> tuple[Tensor | None, ...]:
    return state if len(state) == 2 else (*state, None)


LOOPS = Loops(_forward, _backward)
