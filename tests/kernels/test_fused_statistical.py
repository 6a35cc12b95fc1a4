"""The fused scan of the statistical unit: its chunks, its memory, its precision.

That it equals the reference loop is tested for every core and backend in tests/cores/test_contract.py.

B batch, T time, I input, A decays, P phi size, R recurrent size, K = A * P, O output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from s2s.cores import Recurrent, Statistical, Variant
from s2s.kernels.fused import averages, statistical

LENGTHS = (6, 3, 0, 1, 6)
BATCH, TIME, INPUT, PHI, OUTPUT = len(LENGTHS), max(LENGTHS), 3, 8, 7
VARIANTS: list[tuple[Variant, tuple[float, ...]]] = [
    ("full", (0.0, 0.25, 0.5, 0.9, 0.99)),
    ("recurrent", (0.9,)),
    ("multiscale", (0.0, 0.5, 0.99)),
    ("iid", (0.99,)),
]

every_variant = pytest.mark.parametrize(("variant", "decays"), VARIANTS)


@pytest.fixture(autouse=True)
def unwritten_memory_is_nan() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    assert torch.zeros(1).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def cell_of(variant: Variant, decays: tuple[float, ...], dtype: torch.dtype = torch.float64) -> Statistical:
    torch.manual_seed(2)
    cell = Statistical(INPUT, OUTPUT, phi_size=PHI, recurrent_size=4, decays=decays, variant=variant)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.uniform_(-0.5, 0.5)
    return cell.to(dtype)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def first_state(cell: Statistical) -> Tensor:
    return randn(BATCH, cell.seed_sizes[0], seed=4).abs().to(cell.weight_ih.dtype)


def padding() -> Tensor:
    return torch.arange(TIME) >= torch.tensor(LENGTHS)[:, None]


def results(
    cell: Statistical, *, low: torch.dtype | None = None, at_padding: float = 0.0, around_backward: bool = False
) -> list[Tensor]:
    """Output, final state and all gradients under random cotangents; `low` is the dtype of autocast."""
    dtype = cell.weight_ih.dtype
    x_BTI, mu_BK = randn(BATCH, TIME, INPUT, dtype=dtype).requires_grad_(), first_state(cell).requires_grad_()
    leaves = [x_BTI, mu_BK, *cell.parameters()]
    autocast = torch.autocast("cpu", low or torch.bfloat16, enabled=low is not None)
    with autocast:
        out_BTO, (after_BK,) = statistical.scan(
            x_BTI, (mu_BK,), cell.layer_weights(), torch.tensor(LENGTHS), every=True
        )
    d_out = randn(*out_BTO.shape, seed=5).to(out_BTO.dtype).masked_fill(padding()[:, :, None], at_padding)
    d_after = randn(*after_BK.shape, seed=6).to(after_BK.dtype)
    with torch.autocast("cpu", low or torch.bfloat16, enabled=around_backward):
        grads = torch.autograd.grad((out_BTO, after_BK), leaves, (d_out, d_after))
    return [out_BTO.detach(), after_BK.detach(), *grads]


def reference(cell: Statistical, *, keep: str = "all") -> tuple[Tensor, Tensor]:
    layer = Recurrent(cell, backend="reference", keep="last" if keep == "last" else "all")
    x_BTI = randn(BATCH, TIME, INPUT, dtype=cell.weight_ih.dtype)
    out, (after_BK,) = layer(x_BTI, torch.tensor(LENGTHS), (first_state(cell),))
    return out, after_BK


def close(got: list[Tensor], expected: list[Tensor], rtol: float = 1e-10, atol: float = 1e-12) -> None:
    torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)


def close_in_norm(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(got, expected, strict=True):
        assert (one.float() - other.float()).norm() <= tolerance * other.float().norm()


@every_variant
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_size_of_a_chunk_changes_nothing(
    variant: Variant, decays: tuple[float, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(variant, decays)
    whole = results(cell)
    monkeypatch.setattr(averages, "ELEMENTS", rows * TIME * len(decays) * PHI)
    chunks = list(averages.some_rows(torch.zeros(BATCH, TIME, PHI), len(decays)))
    assert len(chunks) == -(-BATCH // rows)
    close(results(cell), whole)


def test_a_row_that_is_larger_than_a_chunk_is_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averages, "ELEMENTS", 1)
    assert list(averages.some_rows(torch.zeros(2, TIME, PHI), 5)) == [slice(0, 1), slice(1, 2)]


class Largest(TorchDispatchMode):
    """The size in elements of the largest tensor that any operation gave back; a view counts by its storage."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def largest(cell: Statistical, backend: str, time: int, low: torch.dtype | None) -> int:
    x_BTI = randn(8, time, INPUT, dtype=torch.float32).requires_grad_()
    state = (torch.zeros(8, cell.seed_sizes[0], requires_grad=True),)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=low is not None)
    with Largest() as seen:
        with autocast:
            if backend == "fused":
                out_BTO, (after_BK,) = statistical.scan(x_BTI, state, cell.layer_weights(), None, every=True)
            else:
                out_BTO, (after_BK,) = Recurrent(cell, backend="reference")(x_BTI, None, state)
        (out_BTO.float().sum() + after_BK.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in cell.parameters())
    return seen.elements


@every_variant
@pytest.mark.parametrize("low", [None, torch.bfloat16])
def test_the_averages_of_all_steps_never_exist(
    variant: Variant, decays: tuple[float, ...], low: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = 40
    kept = 8 * time * len(decays) * PHI
    chunk = kept // 4
    monkeypatch.setattr(averages, "ELEMENTS", chunk)
    without_averages = 8 * time * max(INPUT, PHI, OUTPUT)
    assert largest(cell_of(variant, decays, torch.float32), "fused", time, low) == max(chunk, without_averages)
    assert largest(cell_of(variant, decays, torch.float32), "reference", time, low) >= kept


def test_what_is_kept_for_the_backward_has_no_decays() -> None:
    """x, phi (which autograd sees twice), r and o of a step, and nothing of A P or A R."""
    cell, saved = cell_of("full", VARIANTS[0][1], torch.float32), {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    sizes = []
    for time in (10, 11):
        saved.clear()
        x_BTI = randn(1, time, INPUT, dtype=torch.float32)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            kept = statistical.scan(x_BTI, (torch.zeros(1, 5 * PHI),), cell.layer_weights(), None, every=True)
        sizes.append(sum(saved.values()))
        del kept
    factors_of_the_final_average = len(cell.decays)
    assert sizes[1] - sizes[0] == INPUT + PHI + 4 + OUTPUT + factors_of_the_final_average


@every_variant
@pytest.mark.parametrize(("low", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@pytest.mark.parametrize("around_backward", [False, True])
def test_half_precision_is_close_to_float32(
    variant: Variant, decays: tuple[float, ...], low: torch.dtype, tolerance: float, around_backward: bool
) -> None:
    cell = cell_of(variant, decays, torch.float32)
    got, expected = results(cell, low=low, around_backward=around_backward), results(cell)
    assert got[0].dtype == low
    assert all(part.dtype == torch.float32 for part in got[1:])
    close_in_norm(got, expected, tolerance)


@every_variant
def test_the_final_state_in_half_precision_sums_in_float32(variant: Variant, decays: tuple[float, ...]) -> None:
    """Two hundred steps at 0.99: a sum held in bfloat16 would stand still long before."""
    if variant != "iid":
        decays = (*decays[:-1], 0.99)
    cell = cell_of(variant, decays, torch.float32)
    x_BTI, state = torch.ones(2, 200, INPUT), (torch.zeros(2, cell.seed_sizes[0]),)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, (got_BK,) = statistical.scan(x_BTI, state, cell.layer_weights(), None, every=False)
        _, (loop_BK,) = Recurrent(cell, backend="reference")(x_BTI, None, state)
    assert got_BK.dtype == torch.float32
    assert got_BK.any()
    torch.testing.assert_close(got_BK, loop_BK, rtol=0.01, atol=0.001)


@every_variant
@pytest.mark.parametrize("garbage", [1e3, float("nan"), float("inf")])
def test_gradients_that_arrive_at_padding_are_ignored(
    variant: Variant, decays: tuple[float, ...], garbage: float
) -> None:
    cell = cell_of(variant, decays)
    got = results(cell, at_padding=garbage)
    assert not got[0][padding()].any()
    close(got, results(cell))


@every_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_the_final_state_alone(
    variant: Variant, decays: tuple[float, ...], dtype: torch.dtype, tolerance: float
) -> None:
    cell = cell_of(variant, decays, dtype)
    x_BTI, state = randn(BATCH, TIME, INPUT, dtype=dtype), (first_state(cell),)
    out, (got_BK,) = statistical.scan(x_BTI, state, cell.layer_weights(), torch.tensor(LENGTHS), every=False)
    assert out.shape[:2] == (BATCH, 0)
    read, expected_BK = reference(cell, keep="last")
    close([got_BK], [expected_BK], tolerance, tolerance)
    close([cell.read(got_BK)], [read], tolerance, tolerance)
    weights = [parameter for name, parameter in cell.named_parameters() if not name.endswith("_out")]
    expected = torch.autograd.grad(expected_BK.square().sum(), weights)
    close([*torch.autograd.grad(got_BK.square().sum(), weights)], [*expected], tolerance, tolerance)


@every_variant
def test_gradcheck_in_chunks_of_a_row(
    variant: Variant, decays: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averages, "ELEMENTS", 1)
    cell = cell_of(variant, decays)
    alpha_A, *weights = (tensor.detach() for tensor in cell.layer_weights())

    def function(x_BTI: Tensor, mu_BK: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        lengths_B = torch.tensor([3, 0, 2])
        out_BTO, (after_BK,) = statistical.scan(x_BTI, (mu_BK,), (alpha_A, *weights), lengths_B, every=True)
        return out_BTO, after_BK

    leaves = [randn(3, 3, INPUT, seed=2), randn(3, cell.seed_sizes[0], seed=3), *weights]
    assert torch.autograd.gradcheck(function, [leaf.clone().requires_grad_() for leaf in leaves], fast_mode=True)


def moving_averages(phi_BTP: Tensor, mu_BAP: Tensor, alpha_A: Tensor) -> np.ndarray[Any, Any]:
    """mu_t = alpha^t mu_0 + sum_{s <= t} (1 - alpha) alpha^(t - s) phi_s, term by term; index 0 is mu_0."""
    phi, mu, alpha = phi_BTP.numpy(), mu_BAP.numpy(), alpha_A.numpy()[:, None]
    after = [mu]
    for t in range(1, phi.shape[1] + 1):
        terms = [(1 - alpha) * alpha ** (t - s) * phi[:, s - 1, None] for s in range(1, t + 1)]
        after.append(alpha**t * mu + sum(terms))
    return np.stack(after, 1)


def test_the_filter_is_the_moving_average_term_by_term() -> None:
    alpha_A = torch.tensor([0.0, 0.3, 0.99]).double()
    phi_BTP, mu_BAP = randn(BATCH, TIME, 2), randn(BATCH, 3, 2, seed=1)
    expected = torch.from_numpy(moving_averages(phi_BTP, mu_BAP, alpha_A))
    close([averages.PLAIN.forward(phi_BTP, mu_BAP, alpha_A)], [expected[:, 1:]])
    lengths_B = torch.tensor(LENGTHS)
    zeroed_BTP = phi_BTP.masked_fill(padding()[:, :, None], 0.0)
    got_BAP = averages.final(zeroed_BTP, mu_BAP, alpha_A, lengths_B)
    close([got_BAP], [expected[torch.arange(BATCH), lengths_B]])
    close([averages.final(phi_BTP, mu_BAP, alpha_A, None)], [expected[:, -1]])


def test_the_backward_of_the_filter_is_its_transpose() -> None:
    alpha_A = torch.tensor([0.0, 0.3, 0.999]).double()
    phi_BTP, mu_BAP, dmu_BTAP = randn(3, TIME, 4), randn(3, 3, 4, seed=1), randn(3, TIME, 3, 4, seed=2)
    dphi_BTP, dfirst_BAP = averages.PLAIN.backward(dmu_BTAP, alpha_A)
    there = (averages.PLAIN.forward(phi_BTP, mu_BAP, alpha_A) * dmu_BTAP).sum()
    back = (phi_BTP * dphi_BTP).sum() + (mu_BAP * dfirst_BAP).sum()
    close([back], [there])
