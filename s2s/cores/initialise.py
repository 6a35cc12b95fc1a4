"""The start of the weights as a choice of its own, since users study it.

Shapes: R rows of a block (one gate), I its inputs.
"""

from __future__ import annotations

from typing import Literal, assert_never

from torch import Tensor, nn

from s2s.cores.cell import Cell
from s2s.cores.lstm import LSTM
from s2s.errors import UserError

Scheme = Literal["torch", "normal", "truncated_normal", "xavier", "he"]


def initialise(
    module: nn.Module,
    scheme: Scheme,
    *,
    std: float = 0.1,
    recurrent: Literal["same", "orthogonal"] = "same",
    forget_bias: float | None = None,
) -> None:
    """Draw the parameters of every cell in `module` anew, each gate's matrix by itself.

    "torch": the cell's own default: U(-1/sqrt(H), 1/sqrt(H)) for all of Elman, LSTM and GRU, biases too; Glorot uniform
    for RWA and the statistical unit.
    "normal": N(0, std^2). "truncated_normal": the same, cut at two standard deviations.
    "xavier": U(-b, b), b = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    "he": N(0, 2 / fan_in) (He et al. 2015).
    Under all but "torch" biases and peepholes start at zero, but for an LSTM's forget bias; RWA's s is N(0, 1) always.
    `recurrent="orthogonal"`: matrices that read the last state are orthogonal instead (Saxe et al. 2014).
    `forget_bias`: as `LSTM(forget_bias=...)`, for every LSTM found.

    Raises UserError for a std that is not positive and for a forget bias where no LSTM has a forget gate.
    """
    if std <= 0:
        raise UserError(f"The standard deviation of the initialisation is {std}; it must be positive, for example 0.1.")
    cells = [cell for cell in module.modules() if isinstance(cell, Cell)]
    for cell in cells:
        _draw(cell, scheme, std)
        if recurrent == "orthogonal":
            _orthogonal(cell)
    if forget_bias is not None:
        _set_forget_bias(cells, forget_bias)


def _draw(cell: Cell, scheme: Scheme, std: float) -> None:
    if scheme == "torch":
        cell.reset_parameters()
        return
    for block in cell.blocks():
        fill(block.weight, scheme, std)
    cell.reset_vectors()


def fill(weight_RI: Tensor, scheme: Literal["normal", "truncated_normal", "xavier", "he"], std: float) -> None:
    """One matrix drawn anew by `scheme`; `std` is of the first two."""
    match scheme:
        case "normal":
            nn.init.normal_(weight_RI, std=std)
        case "truncated_normal":
            nn.init.trunc_normal_(weight_RI, std=std, a=-2 * std, b=2 * std)
        case "xavier":
            nn.init.xavier_uniform_(weight_RI)
        case "he":
            nn.init.kaiming_normal_(weight_RI, nonlinearity="relu")
        case _:
            assert_never(scheme)


def _orthogonal(cell: Cell) -> None:
    for block in cell.blocks():
        if block.recurrent:
            nn.init.orthogonal_(block.weight)


def _set_forget_bias(cells: list[Cell], value: float) -> None:
    gated = [cell for cell in cells if isinstance(cell, LSTM) and cell.forget_gate]
    if not gated:
        raise UserError(
            f"A forget bias of {value} was given, but no core here is an LSTM with a forget gate. Leave it out."
        )
    for cell in gated:
        cell.set_forget_bias(value)
