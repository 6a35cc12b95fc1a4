"""The contract that every core keeps on every backend. B batch, T time, I input, H hidden, O output.

float64 throughout, unless the test is about precision.
"""

from __future__ import annotations

import pytest
import torch
from catalogue import CASES, FUSED, close, layer, mid_state, randn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2s.cores import Recurrent, State
from s2s.kernels import Backend

LENGTHS = (6, 3, 0, 1, 6)
BATCH, TIME, INPUT = len(LENGTHS), max(LENGTHS), 3

every_case = pytest.mark.parametrize(("name", "backend"), CASES)
both_ways = pytest.mark.parametrize("reverse", [False, True])


def lengths() -> Tensor:
    return torch.tensor(LENGTHS)


def gradients(outputs: State, inputs: list[Tensor], seed: int = 31) -> tuple[Tensor, ...]:
    """Of random cotangents on all outputs, for all inputs. An output that is a constant (-inf of RWA) gets none."""
    live = [output for output in outputs if output.requires_grad]
    cotangents = [randn(*output.shape, seed=seed + i, dtype=output.dtype) for i, output in enumerate(live)]
    grads = torch.autograd.grad(live, inputs, cotangents, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True))


@every_case
@both_ways
def test_a_row_in_a_padded_batch_equals_the_row_alone(name: str, backend: Backend, reverse: bool) -> None:
    module = layer(name, backend, reverse=reverse)
    x_BTI, state = randn(BATCH, TIME, INPUT), mid_state(module.cell, BATCH)
    out_BTO, final = module(x_BTI, lengths(), state)
    for row, length in enumerate(LENGTHS):
        before = tuple(part[row : row + 1] for part in state)
        assert not out_BTO[row, length:].any()
        if length == 0:
            close(tuple(part[row : row + 1] for part in final), before)
            continue
        alone_1TO, after = module(x_BTI[row : row + 1, :length], None, before)
        close(out_BTO[row, :length], alone_1TO[0])
        close(tuple(part[row : row + 1] for part in final), after)


@every_case
@both_ways
@pytest.mark.parametrize("garbage", [1e3, float("nan"), float("inf")])
def test_what_stands_at_padding_changes_nothing(name: str, backend: Backend, reverse: bool, garbage: float) -> None:
    module = layer(name, backend, reverse=reverse)
    pad_BT1 = (torch.arange(TIME) >= lengths()[:, None]).unsqueeze(2)
    clean_BTI = randn(BATCH, TIME, INPUT).masked_fill(pad_BT1, 0.0)
    results = []
    for x_BTI in (clean_BTI, clean_BTI.masked_fill(pad_BT1, garbage)):
        leaf = x_BTI.requires_grad_()
        out_BTO, final = module(leaf, lengths(), mid_state(module.cell, BATCH))
        grads = gradients((out_BTO, *final), [leaf, *module.parameters()])
        assert not grads[0].masked_select(pad_BT1).any()
        results.append((out_BTO, *final, *grads))
    close(results[1], results[0])


@every_case
@both_ways
def test_more_padding_changes_nothing(name: str, backend: Backend, reverse: bool) -> None:
    module = layer(name, backend, reverse=reverse)
    x_BTI = randn(BATCH, TIME, INPUT)
    results = []
    for extra in (0, 4):
        out_BTO, final = module(torch.nn.functional.pad(x_BTI, (0, 0, 0, extra)), lengths())
        assert out_BTO.shape[1] == TIME + extra
        results.append((out_BTO[:, :TIME], *final, *gradients((out_BTO[:, :TIME], *final), [*module.parameters()])))
    close(results[1], results[0])


@every_case
@both_ways
@pytest.mark.parametrize("cut", [1, 4])
def test_two_halves_make_a_whole(name: str, backend: Backend, reverse: bool, cut: int) -> None:
    module = layer(name, backend, reverse=reverse)
    x_BTI = randn(BATCH, TIME, INPUT)
    whole_BTO, final = module(x_BTI, lengths())
    early = (x_BTI[:, :cut], lengths().clamp(max=cut))
    late = (x_BTI[:, cut:], (lengths() - cut).clamp(min=0))
    halves = [late, early] if reverse else [early, late]
    out_first, state = module(*halves[0])
    out_second, state = module(*halves[1], state)
    outs = [out_second, out_first] if reverse else [out_first, out_second]
    close(torch.cat(outs, 1), whole_BTO)
    close(state, final)


@every_case
def test_rows_can_be_reordered(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    x_BTI, state = randn(BATCH, TIME, INPUT), mid_state(module.cell, BATCH)
    order = torch.tensor([3, 0, 4, 2, 1])
    out_BTO, final = module(x_BTI, lengths(), state)
    moved_BTO, moved = module(x_BTI[order], lengths()[order], tuple(part[order] for part in state))
    close(moved_BTO, out_BTO[order])
    close(moved, tuple(part[order] for part in final))


@every_case
def test_rows_do_not_see_each_other(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    x_BTI = randn(BATCH, TIME, INPUT).requires_grad_()
    out_BTO, final = module(x_BTI, lengths())
    row = tuple(part[0] for part in (out_BTO, *final))
    (grad_BTI,) = gradients(row, [x_BTI])
    assert grad_BTI[0].any()
    assert not grad_BTI[1:].any()


@every_case
def test_reverse_equals_flip_run_flip(name: str, backend: Backend) -> None:
    backwards, forwards = layer(name, backend, reverse=True), layer(name, backend)
    x_BTI = randn(BATCH, TIME, INPUT)
    flipped_BTI, expected_BTO = x_BTI.clone(), torch.zeros(BATCH, TIME, forwards.output_size).double()
    for row, length in enumerate(LENGTHS):
        flipped_BTI[row, :length] = x_BTI[row, :length].flip(0)
    out_BTO, final = forwards(flipped_BTI, lengths())
    for row, length in enumerate(LENGTHS):
        expected_BTO[row, :length] = out_BTO[row, :length].flip(0)
    close(backwards(x_BTI, lengths()), (expected_BTO, final))
    close(backwards(x_BTI)[0], forwards(x_BTI.flip(1))[0].flip(1))


def call_with(module: Recurrent, x_BTI: Tensor, row_lengths: Tensor, state: State, parameters: State) -> State:
    """The layer as a function of all that has a gradient: (out, *final)."""
    named = {name: value for (name, _), value in zip(module.named_parameters(), parameters, strict=True)}
    out_BTO, final = torch.func.functional_call(module, named, (x_BTI, row_lengths, state))
    return (out_BTO, *final)


@every_case
@both_ways
def test_gradcheck_from_mid_sequence(name: str, backend: Backend, reverse: bool) -> None:
    module = layer(name, backend, (2, 3), reverse=reverse)
    x_BTI, row_lengths = randn(3, 3, 2, seed=2).requires_grad_(), torch.tensor([3, 0, 2])
    state = tuple(part.requires_grad_() for part in mid_state(module.cell, 3))
    parameters = tuple(part.detach().clone().requires_grad_() for part in module.parameters())

    def function(x: Tensor, *rest: Tensor) -> State:
        return call_with(module, x, row_lengths, rest[: len(state)], rest[len(state) :])

    assert torch.autograd.gradcheck(function, (x_BTI, *state, *parameters))


@every_case
def test_gradcheck_from_the_seeded_first_state(name: str, backend: Backend) -> None:
    module = layer(name, backend, (2, 3))
    x_BTI, row_lengths = randn(2, 3, 2, seed=3).requires_grad_(), torch.tensor([3, 1])
    seed = tuple(part.requires_grad_() for part in module.seed(mid_state(module.cell, 2)))
    parameters = tuple(part.detach().clone().requires_grad_() for part in module.parameters())

    def function(x: Tensor, *rest: Tensor) -> State:
        return call_with(module, x, row_lengths, module.begin(2, rest[: len(seed)]), rest[len(seed) :])

    assert torch.autograd.gradcheck(function, (x_BTI, *seed, *parameters))


@every_case
def test_the_first_state_gets_its_gradient(name: str, backend: Backend) -> None:
    module = layer(name, backend, (2, 3))
    x_BTI = randn(2, 3, 2, seed=4)

    def function(*parameters: Tensor) -> Tensor:
        named = {name: value for (name, _), value in zip(module.named_parameters(), parameters, strict=True)}
        out_BTO: Tensor = torch.func.functional_call(module, named, (x_BTI, torch.tensor([3, 1])))[0]
        return out_BTO

    assert torch.autograd.gradcheck(function, tuple(p.detach().clone().requires_grad_() for p in module.parameters()))


@pytest.mark.parametrize(("name", "backend"), FUSED)
@both_ways
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
@pytest.mark.parametrize("ragged", [False, True])
def test_backend_equals_reference(
    name: str, backend: Backend, reverse: bool, dtype: torch.dtype, tolerance: float, ragged: bool
) -> None:
    results = []
    for which in ("reference", backend):
        module = layer(name, which, (5, 7), reverse=reverse, dtype=dtype)
        x_BTI = randn(BATCH, TIME, 5, dtype=dtype).requires_grad_()
        state = tuple(part.requires_grad_() for part in mid_state(module.cell, BATCH))
        out_BTO, final = module(x_BTI, lengths() if ragged else None, state)
        grads = gradients((out_BTO, *final), [x_BTI, *state, *module.parameters()])
        results.append((out_BTO, *final, *grads))
    close(results[1], results[0], rtol=tolerance, atol=tolerance)


@every_case
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_odd_sizes(name: str, backend: Backend, data: st.DataObject) -> None:
    batch, time, hidden = (data.draw(st.sampled_from(sizes)) for sizes in ((1, 3), (1, 2, 5), (1, 7)))
    row_lengths = torch.tensor(data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch)))
    reverse = data.draw(st.booleans())
    module = layer(name, backend, (1, hidden), reverse=reverse)
    out_BTO, final = module(randn(batch, time, 1), row_lengths)
    reference_BTO, reference = layer(name, "reference", (1, hidden), reverse=reverse)(
        randn(batch, time, 1), row_lengths
    )
    assert out_BTO.shape == (batch, time, module.output_size)
    assert all(len(part) == batch for part in final)
    close((out_BTO, *final), (reference_BTO, *reference))
    valid = row_lengths > 0
    last = torch.zeros_like(row_lengths) if reverse else (row_lengths - 1).clamp(min=0)
    close(module.summary(final)[valid], out_BTO[torch.arange(batch), last][valid])


@every_case
@pytest.mark.parametrize("row_lengths", [None, LENGTHS])
def test_large_inputs_stay_finite_and_agree_with_float64(
    name: str, backend: Backend, row_lengths: tuple[int, ...] | None
) -> None:
    results = []
    for dtype in (torch.float64, torch.float32):
        module = layer(name, backend, dtype=dtype)
        x_BTI = (1000 * randn(BATCH, TIME, INPUT)).float().to(dtype)
        out_BTO, final = module(x_BTI, None if row_lengths is None else torch.tensor(row_lengths))
        grads = gradients((out_BTO,), [*module.parameters()])
        assert all(part.isfinite().all() for part in (out_BTO, *grads))
        assert not any(part.isnan().any() for part in final)
        results.append(tuple(part.detach().double() for part in (out_BTO, *final, *grads)))
    scale = max(1.0, float(results[0][0].abs().max()))
    for got, expected in zip(results[1], results[0], strict=True):
        finite = expected[expected.isfinite()].abs()
        size = max(scale, float(finite.max()) if len(finite) else 0.0)
        close(got, expected, rtol=1e-4, atol=1e-4 * size)


@every_case
def test_a_seed_is_what_the_first_state_gives_back(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    assert module.seed_sizes == module.cell.seed_sizes
    seed = tuple(randn(4, size, seed=i) for i, size in enumerate(module.seed_sizes))
    assert all(torch.equal(a, b) for a, b in zip(module.seed(module.begin(4, seed)), seed, strict=True))
    with pytest.raises(ValueError, match="seed of shapes"):
        module.begin(3, seed)


@every_case
def test_a_loop_of_steps_equals_the_scan(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    x_BTI = randn(BATCH, TIME, INPUT)
    out_BTO, final = module(x_BTI)
    state, prepared, outs = module.begin(BATCH), module.prepare(), []
    assert module.project(x_BTI).shape == (BATCH, TIME, module.cell.gate_size)
    for g_BG in module.project(x_BTI).unbind(1):
        out_BO, state = module.step(g_BG, state, prepared)
        outs.append(out_BO)
    close((torch.stack(outs, 1), *state), (out_BTO, *final))


@every_case
def test_inference_mode_gives_the_same(name: str, backend: Backend) -> None:
    module = layer(name, backend)
    expected = module(randn(BATCH, TIME, INPUT), lengths())
    with torch.inference_mode():
        got = module(randn(BATCH, TIME, INPUT), lengths())
    close(got, expected)


@every_case
def test_not_a_number_stays_one(name: str, backend: Backend) -> None:
    """A run that diverged must be seen to have diverged; the other rows have nothing to do with it."""
    module = layer(name, backend)
    x_BTI = randn(3, TIME, INPUT)
    expected_BTO, _ = module(x_BTI)
    x_BTI[1, 2, 0] = torch.nan
    out_BTO, final = module(x_BTI)
    assert out_BTO[1, 2:].isnan().any(1).all()
    assert any(part[1].isnan().any() for part in final)
    close(out_BTO[::2], expected_BTO[::2])


@every_case
@pytest.mark.parametrize("row_lengths", [None, LENGTHS])
def test_autocast_to_bfloat16(name: str, backend: Backend, row_lengths: tuple[int, ...] | None) -> None:
    module = layer(name, backend, (8, 16), dtype=torch.float32)
    x_BTI = randn(BATCH, TIME, 8, dtype=torch.float32).requires_grad_()
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out_BTO, final = module(x_BTI, None if row_lengths is None else torch.tensor(row_lengths))
        assert all(part.dtype == torch.float32 for part in final)
        grads = torch.autograd.grad(out_BTO.float().square().mean(), [x_BTI, *module.parameters()], allow_unused=True)
        assert all(grad is None or grad.isfinite().all() for grad in grads)
        results.append((out_BTO.float(), *final))
    close(results[1], results[0], rtol=0.05, atol=0.05)


@every_case
def test_a_layer_in_bfloat16(name: str, backend: Backend) -> None:
    """Weights, inputs and states all in bfloat16, as `module.bfloat16()` makes them."""
    module = layer(name, backend, (8, 16), dtype=torch.float32)
    x_BTI = randn(BATCH, TIME, 8, dtype=torch.float32)
    expected_BTO, expected = module(x_BTI, lengths())
    module.bfloat16()
    out_BTO, final = module(x_BTI.bfloat16().requires_grad_(), lengths())
    assert all(part.dtype == torch.bfloat16 for part in (out_BTO, *final))
    close(tuple(part.float() for part in (out_BTO, *final)), (expected_BTO, *expected), rtol=0.1, atol=0.1)
    grads = torch.autograd.grad(out_BTO.float().square().mean(), list(module.parameters()), allow_unused=True)
    assert all(grad is None or (grad.dtype == torch.bfloat16 and bool(grad.isfinite().all())) for grad in grads)
