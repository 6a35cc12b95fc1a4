"""Pictures of what the layers of a model do over one sequence."""

# T time, H units

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2s.cores import Bidirectional, Recurrent, Stack
from s2s.cores.trace import trace
from s2s.models import Predictor
from s2s.plots import Panel, state_map
from s2s.tasks import Symbols, Task


@torch.no_grad()
def stack_panels(stack: Stack, inputs: Tensor) -> list[tuple[str, list[Panel]]]:
    """For each layer (and direction), by name: its output and its gates over the first row of (B, T, I) inputs.

    The stack is in evaluation mode. Each layer reads what the one below hands on, residual sums included.
    """
    found: list[tuple[str, list[Panel]]] = []
    layers = list(stack.layers)
    x_BTI = inputs
    for number, layer in enumerate(layers, start=1):
        name = f"layer-{number}" if len(layers) > 1 else "layer"
        if isinstance(layer, Bidirectional):
            ways = [(f"{name}-forwards", layer.forwards), (f"{name}-backwards", layer.backwards)]
        else:
            assert isinstance(layer, Recurrent)
            ways = [(name, layer)]
        traces = [trace(way, x_BTI) for _, way in ways]
        for (called, _), seen in zip(ways, traces, strict=True):
            panels = [Panel("output", _first(seen.outputs), signed=bool((seen.outputs < 0).any()))]
            found.append((called, panels + [_gate(gate, _first(values)) for gate, values in seen.gates.items()]))
        out_BTO = torch.cat([seen.outputs for seen in traces], -1)
        adds = stack.residual and number > 1 and out_BTO.shape == x_BTI.shape
        x_BTI = out_BTO + x_BTI if adds else out_BTO
    return found


def _gate(name: str, values_TH: np.ndarray) -> Panel:
    """A gate from 0 to 1; shares of an average fall with time, so nearly the largest is as dark as it gets."""
    return Panel(name, values_TH, top=float(np.quantile(values_TH, 0.98)) if name == "share" else None)


def _first(values_BTH: Tensor) -> np.ndarray:
    return values_BTH[0].float().cpu().numpy()


@torch.no_grad()
def draw_states(model: Predictor, task: Task, folder: Path, *, row: int, title: str, mark: str = "") -> list[Path]:
    """State and gate maps of every layer over one example of a task, and where its attention looked.

    `mark` goes into the names of the files.
    """
    series = task.draw([row], 0)
    device = next(model.parameters()).device
    inputs, lengths = torch.from_numpy(series.inputs).to(device), torch.from_numpy(series.lengths)
    events = {name: int(steps[0]) for name, steps in series.events.items() if steps[0] >= 0}
    number = row - task.splits.test.start
    said = f"{title}, test example {number:,} of {int(lengths[0]):,} steps"
    steps = [str(step) for step in series.inputs[0].tolist()] if isinstance(task.inputs, Symbols) else None
    paths = []
    panels = stack_panels(model.stack, model.reader(inputs))
    weights_BT = model(inputs, lengths).weights_BT
    if weights_BT is not None:
        weights_T1 = weights_BT[0, :, None].float().cpu().numpy()
        panels.append(("attention", [Panel("attention", weights_T1, top=float(weights_T1.max()))]))
    for name, maps in panels:
        paths.append(folder / f"{name if name == 'attention' else f'states-{name}'}{mark}.png")
        state_map(paths[-1], maps, events=events, steps=steps, title=said, sort=name != "attention")
    return paths
