"""Gates must explain the step they are of."""

from __future__ import annotations

import pytest
import torch

from s2s.cores import GRU, LSTM, RWA, Cell, Elman, NormalisedGRU, NormalisedLSTM, Recurrent, State, Statistical
from s2s.cores.trace import trace

X = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def layer(cell: Cell, *, reverse: bool = False) -> Recurrent:
    torch.manual_seed(2)
    cell = cell.double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return Recurrent(cell, reverse=reverse).eval()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", [Elman(3, 4), GRU(3, 4), LSTM(3, 4), RWA(3, 4), Statistical(3, 4, phi_size=5)])
def test_outputs_are_those_of_the_layer(cell: Cell, reverse: bool) -> None:
    made = layer(cell, reverse=reverse)
    torch.testing.assert_close(trace(made, X).outputs, made(X)[0])


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("forget_gate", [False, True])
def test_lstm_gates_make_the_next_cell_and_output(peephole: bool, forget_gate: bool) -> None:
    made = layer(LSTM(3, 4, peephole=peephole, forget_gate=forget_gate))
    cell, g_BTG, state = made.cell, made.project(X), made.begin(2)
    for t, g_BG in enumerate(g_BTG.unbind(1)):
        after = cell.step(g_BG, state, made.prepare())
        gates = {name: gate[:, t] for name, gate in trace(made, X).gates.items()}
        assert set(gates) == {"input", "output"} | ({"forget"} if forget_gate else set())
        raw = torch.addmm(g_BG, state[0], made.prepare()[0])
        candidate = raw.chunk(4 if forget_gate else 3, 1)[-2].tanh()
        torch.testing.assert_close(gates.get("forget", 1.0) * state[1] + gates["input"] * candidate, after[1])
        torch.testing.assert_close(gates["output"] * after[1].tanh(), after[0])
        state = after


@pytest.mark.parametrize("reset", ["after", "before"])
def test_gru_update_gate_keeps_the_old(reset: str) -> None:
    made = layer(GRU(3, 4, reset="after" if reset == "after" else "before"))
    traced = trace(made, X)
    hidden, update = traced.outputs, traced.gates["update"]
    candidate = (hidden[:, 1:] - update[:, 1:] * hidden[:, :-1]) / (1 - update[:, 1:])
    assert bool((candidate.abs() <= 1).all())
    assert set(traced.gates) == {"reset", "update"}
    assert bool(((traced.gates["reset"] > 0) & (traced.gates["reset"] < 1)).all())


def test_rwa_shares_make_the_average() -> None:
    made = layer(RWA(3, 4))
    traced = trace(made, X)
    share, average = traced.gates["share"], traced.outputs.atanh()
    torch.testing.assert_close(share[:, 0], torch.ones_like(share[:, 0]))
    z = average[:, :-1] + (average[:, 1:] - average[:, :-1]) / share[:, 1:]
    u = made.project(X)[:, 1:, :4]
    assert bool((z.abs() <= u.abs() + 1e-9).all())  # z = u tanh(g)


def test_statistics_are_what_phi_reads() -> None:
    assert trace(layer(Statistical(3, 4, phi_size=5, recurrent_size=2)), X).gates["recurrent statistics"].shape == (
        2,
        6,
        2,
    )
    assert trace(layer(Statistical(3, 4, phi_size=5, variant="multiscale")), X).gates == {}


def test_cells_that_name_no_gates_have_none() -> None:
    assert trace(layer(Elman(3, 4)), X).gates == {}


def test_normalised_gates_make_the_step() -> None:
    made = layer(NormalisedLSTM(3, 4))
    seen: list[State] = [made.begin(2)]
    for g_BG in made.project(X).unbind(1):
        seen.append(made.cell.step(g_BG, seen[-1], made.prepare()))
    cells = torch.stack([cell for _, cell in seen], 1)
    gates = trace(made, X).gates
    candidate = (cells[:, 1:] - gates["forget"] * cells[:, :-1]) / gates["input"]
    assert bool((candidate.abs() <= 1).all())
    assert set(trace(layer(NormalisedGRU(3, 4)), X).gates) == {"reset", "update"}
