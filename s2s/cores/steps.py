"""The cores' steps as instructions of a program (`s2s.kernels.steps`): each cell's equations once more, for few rows.

Each takes what the cell receives of its input and the registers of its state, which are the next state afterwards, and
returns the registers of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from s2s.cores.cell import Cell
from s2s.cores.elman import Elman
from s2s.cores.gru import GRU
from s2s.cores.lstm import LSTM
from s2s.cores.recurrent import Recurrent
from s2s.cores.rwa import RWA
from s2s.cores.stack import Stack
from s2s.cores.statistical import Statistical
from s2s.kernels.steps import Do, Program, Register, Unfit

Registers = tuple[Register, ...]


def project(program: Program, stack: Stack, x: Register) -> Register:
    """`Stack.project`: what a step of the bottom layer receives of its input."""
    return _project(program, _layers(stack)[0], x)


def step(program: Program, stack: Stack, gates: Register, state: Sequence[Registers]) -> Register:
    """`Stack.step`, of a model that does not learn.

    Raises:
        Unfit: for a core without a program.
    """
    bottom, *others = _layers(stack)
    out = _step(program, bottom, gates, state[0])
    for layer, registers in zip(others, state[1:], strict=True):
        below = out
        out = _step(program, layer, _project(program, layer, below), registers)
        if stack.residual and layer.input_size == layer.output_size:
            out = program.sum(below, out)
    return out


def _layers(stack: Stack) -> list[Recurrent]:
    layers = [layer for layer in stack.layers if isinstance(layer, Recurrent)]
    for layer in layers:
        if type(layer.cell) not in _WRITTEN:
            raise Unfit(f"no program computes {type(layer.cell).__name__}")
    return layers


def _project(program: Program, layer: Recurrent, x: Register) -> Register:
    cell: Any = layer.cell
    return program.product(x, cell.weight_ih, _WRITTEN[type(cell)].bias(cell))


def _step(program: Program, layer: Recurrent, gates: Register, state: Registers) -> Register:
    return _WRITTEN[type(layer.cell)].step(program, layer.cell, gates, state)


def _gru(program: Program, cell: GRU, gates: Register, state: Registers) -> Register:
    (h,), size = state, cell.hidden_size
    if cell.reset == "after":
        program.gru(gates, program.product(h, cell.weight_hh, cell.bias_hh), h)
        return h
    rz, n = gates.part(0, 2 * size), gates.part(2 * size, size)
    program.product(h, cell.weight_hh[: 2 * size], cell.bias_hh[: 2 * size], rz, add=True)
    program.apply(Do.SIGMOID, rz)
    reset = program.room(size)
    program.copy(h, reset)
    program.multiply(gates.part(0, size), reset)
    program.product(reset, cell.weight_hh[2 * size :], cell.bias_hh[2 * size :], n, add=True)
    program.finish(gates.part(size, size), n, h)
    return h


def _lstm(program: Program, cell: LSTM, gates: Register, state: Registers) -> Register:
    h, c = state
    program.product(h, cell.weight_hh, None, gates, add=True)
    program.lstm(gates, h, c, cell.peephole, forget_gate=cell.forget_gate)
    return h


def _elman(program: Program, cell: Elman, gates: Register, state: Registers) -> Register:
    (h,) = state
    program.product(h, cell.weight_hh, None, gates, add=True)
    program.apply(Do[cell.activation.upper()], gates)
    program.copy(gates, h)
    return h


def _rwa(program: Program, cell: RWA, gates: Register, state: Registers) -> Register:
    h, v, l = state  # noqa: E741
    size = cell.hidden_size
    program.product(h, cell.weight_hh, None, gates.part(size, 2 * size), add=True)
    program.rwa(gates, h, v, l)
    return h


def _statistical(program: Program, cell: Statistical, phi: Register, state: Registers) -> Register:
    (mu,) = state
    if cell.variant in ("full", "recurrent"):
        r = program.product(mu, cell.weight_mu_r, cell.bias_r)
        program.apply(Do.RELU, r)
        program.product(r, cell.weight_r_phi, None, phi, add=True)
    program.apply(Do.RELU, phi)
    program.average(phi, mu, cell.bias_phi.new_tensor(cell.decays))
    out = program.product(mu, cell.weight_out, cell.bias_out)
    program.apply(Do.RELU, out)
    return out


class _Written(NamedTuple):
    bias: Callable[[Any], Tensor]
    """What `project` adds."""
    step: Callable[[Program, Any, Register, Registers], Register]


_WRITTEN: Mapping[type[Cell], _Written] = MappingProxyType(
    {
        GRU: _Written(lambda cell: cell.bias_ih, _gru),
        LSTM: _Written(lambda cell: cell.bias_ih + cell.bias_hh, _lstm),
        Elman: _Written(lambda cell: cell.bias_ih + cell.bias_hh, _elman),
        RWA: _Written(lambda cell: F.pad(cell.bias, (0, cell.hidden_size)), _rwa),
        Statistical: _Written(lambda cell: cell.bias_phi, _statistical),
    }
)
