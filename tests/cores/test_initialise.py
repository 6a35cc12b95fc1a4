"""The start of the weights: each gate by itself, vectors at rest, the forget bias where it was asked for."""

from __future__ import annotations

import math

import pytest
import torch
from catalogue import CORES
from torch import Tensor, nn

from s2s.cores import GRU, LSTM, RWA, Block, Cell, Elman, Recurrent, Scheme, Stack, Statistical, initialise
from s2s.errors import UserError

MADE_OF: dict[str, int] = {"elman-tanh": 2, "lstm": 8, "lstm-no-forget": 6, "gru": 6, "rwa": 5, "statistical": 4}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(17)


def blocks(cell: Cell) -> list[Block]:
    return list(cell.blocks())


@pytest.mark.parametrize(("name", "count"), MADE_OF.items())
def test_blocks_are_the_gates(name: str, count: int) -> None:
    cell = CORES[name](3, 5)
    assert len(blocks(cell)) == count
    assert any(block.recurrent for block in blocks(cell))
    weights = sum(parameter.numel() for parameter in cell.parameters() if parameter.dim() == 2)
    assert sum(block.weight.numel() for block in blocks(cell)) == weights


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("scheme", ["torch", "normal", "truncated_normal", "xavier", "he"])
def test_every_weight_is_drawn_anew_and_keeps_its_gradient(name: str, scheme: Scheme) -> None:
    cell = CORES[name](3, 5)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(77.0)
    initialise(cell, scheme)
    assert all(parameter.requires_grad and (parameter != 77.0).all() for parameter in cell.parameters())


@pytest.mark.parametrize("cell", [LSTM(40, 50), GRU(40, 50), RWA(40, 50), Elman(40, 50)])
def test_schemes_have_their_spread_in_each_gate(cell: Cell) -> None:
    expected = {
        "normal": lambda _: 0.3,
        "truncated_normal": lambda _: 0.3 * 0.88,
        "xavier": lambda w: math.sqrt(2 / (w.shape[0] + w.shape[1])),
        "he": lambda w: math.sqrt(2 / w.shape[1]),
    }
    for scheme, spread in expected.items():
        initialise(cell, scheme, std=0.3)  # type: ignore[arg-type]
        for block in blocks(cell):
            assert block.weight.std().item() == pytest.approx(spread(block.weight), rel=0.08)
        if scheme == "truncated_normal":
            assert max(block.weight.abs().max().item() for block in blocks(cell)) <= 0.6


def test_torch_scheme_is_torchs_own_interval() -> None:
    cell = LSTM(8, 100)
    initialise(cell, "torch")
    for parameter in cell.parameters():
        assert parameter.abs().max().item() <= 0.1
        assert parameter.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.15)


def test_own_starts_of_rwa_and_the_statistical_unit() -> None:
    rwa, unit = RWA(30, 200), Statistical(30, 40, phi_size=50, recurrent_size=20)
    assert not rwa.bias.any()
    assert rwa.start.std().item() == pytest.approx(1.0, rel=0.2)
    w_u, w_g, _ = rwa.weight_ih.chunk(3)
    assert w_u.abs().max().item() == pytest.approx(math.sqrt(6 / 230), rel=0.01)
    assert w_g.abs().max().item() == pytest.approx(math.sqrt(6 / 430), rel=0.01)
    assert rwa.weight_hh.abs().max().item() == pytest.approx(math.sqrt(6 / 430), rel=0.01)
    assert not any(parameter.any() for parameter in unit.parameters() if parameter.dim() == 1)
    assert unit.weight_ih.abs().max().item() == pytest.approx(math.sqrt(6 / 100), rel=0.02)
    initialise(rwa, "normal", std=0.01)
    assert rwa.start.std().item() == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("name", CORES)
def test_orthogonal_recurrent_gates(name: str) -> None:
    cell = CORES[name](3, 5)
    initialise(cell, "he", recurrent="orthogonal")
    for block in blocks(cell):
        rows = block.weight if block.weight.shape[0] <= block.weight.shape[1] else block.weight.t()
        near = torch.allclose(rows @ rows.t(), torch.eye(len(rows)), atol=1e-5)
        assert near == block.recurrent


def forget_part(cell: LSTM) -> Tensor:
    return (cell.bias_ih + cell.bias_hh)[cell.hidden_size : 2 * cell.hidden_size]


def test_forget_bias_is_the_sum_of_both_biases() -> None:
    cell = LSTM(3, 4, forget_bias=1.5)
    assert torch.equal(forget_part(cell), torch.full((4,), 1.5))
    assert cell.bias_ih[:4].any()
    initialise(cell, "xavier")
    assert torch.equal(forget_part(cell), torch.full((4,), 1.5))
    assert not cell.bias_ih[:4].any()
    initialise(cell, "normal", forget_bias=0.5)
    assert torch.equal(forget_part(cell), torch.full((4,), 0.5))


def test_forget_bias_reaches_every_lstm_of_a_module_and_only_those() -> None:
    stack = Stack([Recurrent(LSTM(3, 4)), Recurrent(GRU(4, 4)), Recurrent(LSTM(4, 4))])
    initialise(stack, "torch", forget_bias=1.0)
    found = [cell for cell in stack.modules() if isinstance(cell, LSTM)]
    assert [forget_part(cell).tolist() for cell in found] == [[1.0] * 4] * 2
    for module in (GRU(3, 4), LSTM(3, 4, forget_gate=False)):
        with pytest.raises(UserError, match="no core here is an LSTM with a forget gate"):
            initialise(module, "torch", forget_bias=1.0)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(UserError, match="positive"):
        initialise(GRU(3, 4), "normal", std=0.0)
    with pytest.raises(UserError, match="no forget gate"):
        LSTM(3, 4, forget_bias=1.0, forget_gate=False)
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        Statistical(3, 4, decays=(1.0,))
    with pytest.raises(UserError, match="has one decay"):
        Statistical(3, 4, decays=(0.5, 0.9), variant="iid")


@pytest.mark.parametrize("scheme", ["torch", "normal", "truncated_normal", "xavier", "he"])
@pytest.mark.parametrize("name", ["lstm-layer-norm", "gru-layer-norm"])
def test_layer_normalisation_starts_with_gains_of_one(name: str, scheme: Scheme) -> None:
    cell = CORES[name](3, 5)
    for fresh in (True, False):
        if not fresh:
            for parameter in cell.parameters():
                nn.init.constant_(parameter, 77.0)
            initialise(cell, scheme, forget_bias=1.0 if name.startswith("lstm") else None)
        values = dict(cell.named_parameters())
        assert all((value == 1).all() for key, value in values.items() if key.startswith("gain"))
        assert not values.get("bias_cell", torch.zeros(1)).any()
    if name.startswith("lstm"):
        assert (cell.get_parameter("bias_ih")[5:10] == 1).all()
