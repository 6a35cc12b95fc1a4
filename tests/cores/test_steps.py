"""A cell's step as a program equals its step."""

from __future__ import annotations

import pytest
import torch

from s2s.cores import GRU, LSTM, RWA, Cell, Elman, NormalisedGRU, Recurrent, Stack, Statistical
from s2s.cores import steps as written
from s2s.kernels.compiled import not_built
from s2s.kernels.steps import Program, Read, Unfit

pytestmark = pytest.mark.skipif(not_built("steps") is not None, reason="no C++ compiler")

INPUT, HIDDEN = 19, 21
CELLS = {
    "elman tanh": lambda i: Elman(i, HIDDEN),
    "elman relu": lambda i: Elman(i, HIDDEN, activation="relu"),
    "elman sigmoid": lambda i: Elman(i, HIDDEN, activation="sigmoid"),
    "gru": lambda i: GRU(i, HIDDEN),
    "gru before": lambda i: GRU(i, HIDDEN, reset="before"),
    "lstm": lambda i: LSTM(i, HIDDEN),
    "lstm peephole": lambda i: LSTM(i, HIDDEN, peephole=True),
    "lstm without forget gate": lambda i: LSTM(i, HIDDEN, forget_gate=False),
    "lstm peephole without forget gate": lambda i: LSTM(i, HIDDEN, peephole=True, forget_gate=False),
    "rwa": lambda i: RWA(i, HIDDEN),
    "statistical": lambda i: Statistical(i, HIDDEN, phi_size=18, recurrent_size=17),
    "statistical iid": lambda i: Statistical(i, HIDDEN, phi_size=18, recurrent_size=17, variant="iid"),
    "statistical recurrent": lambda i: Statistical(i, HIDDEN, phi_size=18, recurrent_size=17, variant="recurrent"),
}


def drawn(cell: Cell) -> Cell:
    """With weights large enough that every term shows, the biases too."""
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return cell


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_two_layers(name: str, residual: bool) -> None:
    torch.manual_seed(3)
    stack = Stack([Recurrent(drawn(CELLS[name](INPUT))), Recurrent(drawn(CELLS[name](HIDDEN)))], residual=residual)
    with torch.inference_mode():
        state = stack.begin(3)
        program = Program([part.shape[1] for layer in state for part in layer])
        parts = iter(program.state)
        registers = [tuple(next(parts) for _ in layer) for layer in state]
        x = program.room(INPUT)
        program.context(x)
        program.emit(
            written.step(program, stack, written.project(program, stack, x), registers), torch.eye(HIDDEN), None
        )
        flat_RW = torch.cat([part for layer in state for part in layer], 1)
        nothing = torch.zeros(3, 1, 1)
        for _ in range(4):
            x_RI = torch.randn(3, INPUT)
            out_RO, state = stack.step(stack.project(x_RI.unsqueeze(1)).squeeze(1), state, stack.prepare(3))
            source = Read(nothing, nothing, torch.ones(3, 1, dtype=torch.bool), x_RI)
            found_RO, flat_RW = program.run(torch.zeros(3, dtype=torch.int64), flat_RW, source)
            torch.testing.assert_close(found_RO, out_RO, rtol=2e-5, atol=2e-5)
            whole_RW = torch.cat([part for layer in state for part in layer], 1)
            torch.testing.assert_close(flat_RW, whole_RW, rtol=2e-5, atol=2e-5)


def test_a_core_without_a_program() -> None:
    stack = Stack([Recurrent(NormalisedGRU(INPUT, HIDDEN))])
    program = Program([HIDDEN])
    with pytest.raises(Unfit, match="NormalisedGRU"):
        written.project(program, stack, program.room(INPUT))
