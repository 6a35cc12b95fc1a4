"""The fused scans: what `tests/cores/test_contract.py` does not ask of a backend.

Shapes: B batch, T time, I input, G gates, H hidden, O output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s2s.cores import GRU, LSTM, RWA, Cell, Elman, Recurrent, State, Statistical
from s2s.kernels.fused import PLAIN, SCANS, scans
from s2s.kernels.fused.products import product_with_previous, project_backward
from s2s.kernels.fused.rwa import Loops

CORES: dict[str, Callable[[int, int], Cell]] = {
    "rwa": lambda i, h: RWA(i, h),
    "lstm": lambda i, h: LSTM(i, h),
    "lstm-peephole": lambda i, h: LSTM(i, h, peephole=True),
    "lstm-no-forget": lambda i, h: LSTM(i, h, forget_gate=False),
    "lstm-no-forget-peephole": lambda i, h: LSTM(i, h, forget_gate=False, peephole=True),
    "gru": lambda i, h: GRU(i, h),
    "gru-before": lambda i, h: GRU(i, h, reset="before"),
    "elman-tanh": lambda i, h: Elman(i, h),
    "elman-relu": lambda i, h: Elman(i, h, activation="relu"),
    "elman-sigmoid": lambda i, h: Elman(i, h, activation="sigmoid"),
    "statistical": lambda i, h: Statistical(i, h, phi_size=12, recurrent_size=6, decays=(0.0, 0.5, 0.9)),
    "statistical-multiscale": lambda i, h: Statistical(i, h, phi_size=12, decays=(0.25, 0.9), variant="multiscale"),
}
LENGTHS = torch.tensor([6, 3, 0, 1, 6])
BATCH, TIME, INPUT, HIDDEN = 5, 6, 8, 16

every_core = pytest.mark.parametrize("name", CORES)
ragged_or_not = pytest.mark.parametrize("lengths_B", [None, LENGTHS], ids=["full", "ragged"])


@pytest.fixture(autouse=True)
def unwritten_memory_shows() -> Iterator[None]:
    """torch.empty gives NaN."""
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def cell_of(name: str, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(5)
    cell = CORES[name](INPUT, HIDDEN)
    with torch.no_grad():
        for parameter in cell.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(-0.5, 0.5)
    return cell.to(dtype)


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    return randn(BATCH, TIME, INPUT).to(dtype).requires_grad_()


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fused(cell: Cell, x_BTI: Tensor, lengths_B: Tensor | None, state: State | None = None) -> tuple[Tensor, State]:
    before = cell.begin(len(x_BTI)) if state is None else state
    return SCANS[cell.kernel](x_BTI, before, cell.layer_weights(), lengths_B, every=True)


def reference(cell: Cell, x_BTI: Tensor, lengths_B: Tensor | None) -> tuple[Tensor, State]:
    out_BTO, final = Recurrent(cell, backend="reference")(x_BTI, lengths_B)
    return out_BTO, final


def gradients(loss: Tensor, *tensors: Tensor) -> State:
    """Zero where nothing flowed."""
    grads = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    return tuple(torch.zeros_like(x) if grad is None else grad for x, grad in zip(tensors, grads, strict=True))


def weigh(out_BTO: Tensor) -> Tensor:
    """A loss whose gradient differs everywhere."""
    return (out_BTO * randn(*out_BTO.shape, seed=7).to(out_BTO.dtype)).sum()


def close(got: object, expected: object) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@every_core
@ragged_or_not
@pytest.mark.parametrize("backward_too", [False, True])
def test_autocast_to_bfloat16_is_the_same_function_with_the_same_gradients(
    name: str, lengths_B: Tensor | None, backward_too: bool
) -> None:
    cell, x_BTI = cell_of(name, torch.float32), inputs(torch.float32)
    results = []
    for low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            out_BTO, final = fused(cell, x_BTI, lengths_B)
        assert out_BTO.dtype == (torch.bfloat16 if low else torch.float32)
        assert all(part.dtype == torch.float32 for part in final)
        with torch.autocast("cpu", torch.bfloat16, enabled=low and backward_too):
            grads = gradients(weigh(out_BTO.float()), x_BTI, *cell.parameters())
        assert all(grad.dtype == torch.float32 for grad in grads)
        results.append((out_BTO.float(), *(part.nan_to_num(neginf=0.0) for part in final), *grads))
    for exact, rounded in zip(*results, strict=True):
        assert (rounded - exact).norm() <= 0.05 * exact.norm()


# Without recurrent statistics there is no loop, and the product of x is torch's own, whose backward autocast changes.
@pytest.mark.parametrize("name", [name for name in CORES if name != "statistical-multiscale"])
def test_autocast_at_the_backward_changes_nothing(name: str) -> None:
    cell, x_BTI = cell_of(name, torch.float32), inputs(torch.float32)
    out_BTO, _ = fused(cell, x_BTI, LENGTHS)
    loss = weigh(out_BTO)
    expected = gradients(loss, x_BTI, *cell.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        got = gradients(loss, x_BTI, *cell.parameters())
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@every_core
def test_outputs_at_padding_are_zero(name: str) -> None:
    out_BTO, _ = fused(cell_of(name), inputs(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert out_BTO[row, :length].any() == (length > 0)
        assert not out_BTO[row, length:].any()


@every_core
def test_what_flows_into_outputs_at_padding_goes_nowhere(name: str) -> None:
    cell, x_BTI = cell_of(name), inputs()
    out_BTO, _ = fused(cell, x_BTI, LENGTHS)
    pad_BT1 = (torch.arange(TIME) >= LENGTHS[:, None]).unsqueeze(2)
    dout_BTO = randn(*out_BTO.shape)
    results = [
        torch.autograd.grad(out_BTO, [x_BTI, *cell.parameters()], cotangent, retain_graph=True, allow_unused=True)
        for cotangent in (dout_BTO, dout_BTO.masked_fill(pad_BT1, torch.nan))
    ]
    close(results[1], results[0])
    assert not results[1][0].masked_select(pad_BT1).any()


@every_core
@ragged_or_not
def test_backward_can_run_twice(name: str, lengths_B: Tensor | None) -> None:
    cell, x_BTI = cell_of(name), inputs()
    out_BTO, final = fused(cell, x_BTI, lengths_B)
    loss = weigh(out_BTO) + weigh(final[0])
    first, second = (gradients(loss, x_BTI, *cell.parameters()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(second, first, strict=True))


@every_core
def test_parameters_learn_where_x_does_not(name: str) -> None:
    cell, x_BTI = cell_of(name), inputs()
    expected, got = (gradients(weigh(fused(cell, x, LENGTHS)[0]), *cell.parameters()) for x in (x_BTI, x_BTI.detach()))
    close(got, expected)


def test_x_gets_no_gradient_that_it_does_not_need() -> None:
    dgates_BTG, x_BTI, weight_GI = randn(2, 3, 4), randn(2, 3, 5), randn(4, 5)
    assert project_backward(dgates_BTG, x_BTI, weight_GI, needs_x=False)[0] is None


@every_core
@ragged_or_not
@pytest.mark.parametrize("part", [0, -1])
def test_only_the_final_state_is_used(name: str, lengths_B: Tensor | None, part: int) -> None:
    cell, x_BTI = cell_of(name), inputs()
    results = []
    for scan in (reference, fused):
        _, final = scan(cell, x_BTI, lengths_B)
        loss = weigh(final[part].nan_to_num(neginf=0.0))
        results.append(gradients(loss, x_BTI, *cell.parameters()))
    assert results[0][0].any()
    close(results[1], results[0])


@every_core
@ragged_or_not
def test_without_gradients_the_same_comes_out(name: str, lengths_B: Tensor | None) -> None:
    cell, x_BTI = cell_of(name), inputs()
    expected = fused(cell, x_BTI, lengths_B)
    with torch.no_grad():
        got = fused(cell, x_BTI, lengths_B)
    assert not got[0].requires_grad
    close(got, expected)


@pytest.mark.parametrize("grad", [False, True])
def test_nothing_is_kept_for_a_backward_that_cannot_come(grad: bool) -> None:
    cell, kept = cell_of("rwa"), []

    def forward(
        gates_BTG: Tensor, state: State, weight_hh: Tensor, lengths_B: Tensor | None, /, *, save: bool
    ) -> tuple[Tensor, Tensor | None, State]:
        h_BTH, delta_BTH, final = PLAIN.rwa.forward(gates_BTG, state, weight_hh, lengths_B, save=save)
        kept.append(delta_BTH is not None)
        return h_BTH, delta_BTH, final

    run = scans(PLAIN._replace(rwa=Loops(forward, PLAIN.rwa.backward)))[cell.kernel]
    with torch.set_grad_enabled(grad):
        run(inputs().detach(), cell.begin(BATCH), cell.layer_weights(), None, every=True)
    assert kept == [grad]


@every_core
def test_strides_do_not_matter(name: str) -> None:
    cell = cell_of(name)
    x_BTI = randn(TIME, BATCH, INPUT).transpose(0, 1)
    state = tuple(part.detach()[:1].expand(BATCH, -1) for part in fused(cell, x_BTI, LENGTHS)[1])
    dout_BTO = randn(TIME, BATCH, HIDDEN).transpose(0, 1)
    results = []
    for arrange in (Tensor.contiguous, lambda tensor: tensor):
        x = arrange(x_BTI).detach().requires_grad_()
        out_BTO, final = fused(cell, x, LENGTHS, tuple(arrange(part) for part in state))
        grads = torch.autograd.grad(out_BTO, [x, *cell.parameters()], arrange(dout_BTO), allow_unused=True)
        results.append((out_BTO, final, grads))
    close(results[1], results[0])


@given(batch=st.integers(1, 4), time=st.integers(1, 5), begin=st.integers(0, 2))
def test_product_with_previous_equals_the_sum_over_steps(batch: int, time: int, begin: int) -> None:
    whole_BTG, h_BTH, first_BH = randn(batch, time, 5, seed=1), randn(batch, time, 2, seed=2), randn(batch, 2, seed=3)
    before, d_BTG = whole_BTG.clone(), whole_BTG[:, :, begin : begin + 3]
    previous = [first_BH, *h_BTH.unbind(1)][:time]
    expected_GH = sum(d_BG.t() @ h_BH for d_BG, h_BH in zip(d_BTG.unbind(1), previous, strict=True))
    close(product_with_previous(d_BTG, h_BTH, first_BH), expected_GH)
    assert torch.equal(whole_BTG, before)
