"""What happens inside a layer, step by step: for looking, not for speed.

Shapes: B batch, T time, I input, O output, H width of a gate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.cores.cell import State
from s2s.cores.recurrent import Recurrent


class Trace(NamedTuple):
    """Of one layer over a batch of sequences of equal length."""

    outputs: Tensor
    """(B, T, O) what the layer hands on."""
    gates: dict[str, Tensor]
    """Name of a gate: (B, T, H)."""


@torch.no_grad()
def trace(layer: Recurrent, x_BTI: Tensor, state: State | None = None) -> Trace:
    """Run a layer by its reference loop and keep outputs and gates of every step, in the order of the input.

    The layer should be in evaluation mode: dropped weights would be drawn anew.
    """
    cell = layer.cell
    before = layer.begin(len(x_BTI)) if state is None else state
    prepared = layer.prepare()
    outputs, gates = [], []
    g_BTG = layer.project(x_BTI.flip(1) if layer.reverse else x_BTI)
    for g_BG in g_BTG.unbind(1):
        after = cell.step(g_BG, before, prepared)
        outputs.append(layer.summary(after))
        gates.append(cell.gates(g_BG, before, after, prepared))
        before = after
    names = gates[0] if gates else {}
    kept = {name: torch.stack([one[name] for one in gates], 1) for name in names}
    if not layer.reverse:
        return Trace(torch.stack(outputs, 1), kept)
    return Trace(torch.stack(outputs, 1).flip(1), {name: gate.flip(1) for name, gate in kept.items()})
