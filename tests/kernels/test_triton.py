"""The loops in Triton against the plain ones: in Triton's interpreter where there is no GPU, else on the GPU.

Shapes: B batch, T time, G gates, H hidden, A decays, P phi size, R recurrent size.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from s2s.cores import RWA, Cell, Recurrent, Statistical
from s2s.errors import UserError
from s2s.kernels import fused
from s2s.kernels import triton as package
from s2s.kernels.fused import rwa as fused_rwa
from s2s.kernels.fused import statistical as fused_statistical

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")

# Triton decides when it is imported whether it interprets. Here and during these tests only: elsewhere `auto` would
# choose it too.
with pytest.MonkeyPatch.context() as patch:
    if not CUDA:
        patch.setenv("TRITON_INTERPRET", "1")
    from s2s.kernels.triton import averages, launch, rwa, statistical, tiles

on_a_gpu = pytest.mark.skipif(not CUDA, reason="no CUDA device")
both_forms = pytest.mark.parametrize("whole", [True, False], ids=["whole scan", "step by step"])
ragged_or_not = pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
every_dtype = pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-11), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)],
    ids=["float64", "float32", "bfloat16"],
)


@pytest.fixture(autouse=True)
def interpret(monkeypatch: pytest.MonkeyPatch) -> None:
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def unwritten_memory_is_nan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def choose(monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> None:
    """One of the two forms, whatever the sizes."""
    for name in ("WHOLE_RWA", "WHOLE_STATISTICAL"):
        monkeypatch.setattr(tiles, name, 1024 if whole else 0)


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(DEVICE, dtype)


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def some_lengths(batch: int, time: int, *, ragged: bool) -> Tensor | None:
    """With rows of no step, of one, and of all."""
    return torch.arange(batch, device=DEVICE) % (time + 1) if ragged else None


def padding(lengths_B: Tensor | None, time: int) -> Tensor:
    """(B, T), or (1, T) where there is none."""
    time_T = torch.arange(time, device=DEVICE)
    return (time_T >= time)[None] if lengths_B is None else time_T >= lengths_B[:, None]


def close(got: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    """Equal up to the tolerance times the largest number; infinities must agree."""
    for one, other in zip(got, expected, strict=True):
        finite = other[other.isfinite()].abs()
        size = max(1.0, float(finite.max())) if len(finite) else 1.0
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * size)


class Drawn:
    """RWA's arguments of a batch, drawn at random; `first`: from l = -inf, else in mid-sequence."""

    def __init__(self, batch: int, time: int, hidden: int, dtype: torch.dtype, *, ragged: bool, first: bool) -> None:
        exact, self.time = state_dtype(dtype), time
        self.gates_BTG = randn(batch, time, 3 * hidden, seed=1, dtype=dtype)
        self.weight_hh = (randn(2 * hidden, hidden, seed=2) / hidden**0.5).to(dtype)
        h_BH, v_BH, l_BH = (randn(batch, hidden, seed=3 + i, dtype=exact) for i in range(3))
        self.state = (h_BH.tanh(), v_BH, torch.full_like(l_BH, -torch.inf) if first else l_BH)
        self.dh_BTH = randn(batch, time, hidden, seed=6, dtype=dtype)
        self.dfinal = tuple(randn(batch, hidden, seed=7 + i, dtype=exact) for i in range(3))
        self.lengths_B = some_lengths(batch, time, ragged=ragged)

    def forward(self, loops: fused_rwa.Loops) -> tuple[list[Tensor], list[Tensor]]:
        """What is to be compared, zero at padding, and what the backward loop takes."""
        gates_BTG = self.gates_BTG.clone()
        h_BTH, delta_BTH, final = loops.forward(gates_BTG, self.state, self.weight_hh, self.lengths_B, save=True)
        assert delta_BTH is not None
        pad_BT1 = padding(self.lengths_B, self.time).unsqueeze(2)
        saved = [part.masked_fill(pad_BT1, 0.0) for part in (gates_BTG, delta_BTH)]
        assert not h_BTH.masked_select(pad_BT1).any()
        return [h_BTH, *final, *saved], [*saved, h_BTH]

    def backward(self, loops: fused_rwa.Loops, saved: Sequence[Tensor], dh_BTH: Tensor | None) -> list[Tensor]:
        """(dgates, *dstate, dbias)."""
        gates_BTG, delta_BTH, h_BTH = saved
        dgates_BTG, dstate, dbias_G = loops.backward(
            gates_BTG, delta_BTH, h_BTH, self.weight_hh, self.lengths_B, dh_BTH, self.dfinal
        )
        assert not dgates_BTG.masked_select(padding(self.lengths_B, self.time).unsqueeze(2)).any()
        return [dgates_BTG, *dstate, dbias_G]

    def check(self, tolerance: float) -> None:
        """Both loops against the plain ones, the backward from the same saved tensors."""
        expected, saved = self.forward(fused_rwa.PLAIN)
        close(self.forward(rwa.LOOPS)[0], expected, tolerance)
        dirty_BTH = self.dh_BTH.masked_fill(padding(self.lengths_B, self.time).unsqueeze(2), torch.nan)
        for clean, given in ((self.dh_BTH, dirty_BTH), (None, None)):
            expected = self.backward(fused_rwa.PLAIN, saved, clean)
            close(self.backward(rwa.LOOPS, saved, given), expected, tolerance)


def check_statistical(
    batch: int, time: int, sizes: tuple[int, int, int], dtype: torch.dtype, tolerance: float, *, ragged: bool
) -> None:
    """Both loops against the plain ones, the backward from the same saved tensors."""
    (decays, phi, r), exact = sizes, state_dtype(dtype)
    alpha_A = torch.tensor([0.0, 0.25, 0.5, 0.9, 0.99][-decays:], dtype=exact, device=DEVICE)
    gates_BTP, q_BAR = randn(batch, time, phi, seed=1, dtype=dtype), randn(batch, decays, r, seed=2, dtype=exact)
    weight_q = (randn(decays * r, phi, seed=3) / phi**0.5).to(dtype)
    weight_r_phi, bias_R = (randn(phi, r, seed=4) / r**0.5).to(dtype), randn(r, seed=5, dtype=exact)
    lengths_B = some_lengths(batch, time, ragged=ragged)
    pad_BT1 = padding(lengths_B, time).unsqueeze(2)
    dphi_BTP = randn(batch, time, phi, seed=6, dtype=dtype)
    results, saved = [], []
    for loops in (fused_statistical.PLAIN, statistical.LOOPS):
        phi_BTP = gates_BTP.clone()
        r_BTR = loops.forward(phi_BTP, q_BAR, alpha_A, weight_q, bias_R, weight_r_phi, lengths_B)
        assert not phi_BTP.masked_select(pad_BT1).any()
        assert r_BTR.isfinite().all()
        saved = saved or [phi_BTP, r_BTR]
        given = dphi_BTP if loops is fused_statistical.PLAIN else dphi_BTP.masked_fill(pad_BT1, torch.nan)
        grads = loops.backward(saved[0], saved[1], alpha_A, weight_q, weight_r_phi, lengths_B, given)
        assert not any(grad.masked_select(pad_BT1).any() for grad in grads[:2])
        results.append((phi_BTP, r_BTR.masked_fill(pad_BT1, 0.0), *grads))
    close(results[1], results[0], tolerance)


@pytest.mark.skipif(CUDA, reason="a CUDA device is used")
def test_these_tests_run_in_the_interpreter() -> None:
    kind = type(rwa.forward_kernel).__name__
    assert kind == "InterpretedFunction", f"something imported triton before this module: the kernel is a {kind}"


@both_forms
@ragged_or_not
@every_dtype
@pytest.mark.parametrize(("batch", "time", "hidden"), [(1, 1, 3), (5, 3, 7), (17, 3, 20), (5, 3, 40)])
def test_rwa_equals_the_plain_loops(
    batch: int,
    time: int,
    hidden: int,
    dtype: torch.dtype,
    tolerance: float,
    ragged: bool,
    whole: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose(monkeypatch, whole=whole)
    for first in (False, True):
        Drawn(batch, time, hidden, dtype, ragged=ragged, first=first).check(tolerance)


@both_forms
def test_rwa_without_a_backward_saves_nothing(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, whole=whole)
    drawn = Drawn(5, 3, 7, torch.float32, ragged=True, first=True)
    expected, _ = drawn.forward(rwa.LOOPS)
    h_BTH, delta_BTH, final = rwa.LOOPS.forward(
        drawn.gates_BTG.clone(), drawn.state, drawn.weight_hh, drawn.lengths_B, save=False
    )
    assert delta_BTH is None
    assert all(torch.equal(a, b) for a, b in zip((h_BTH, *final), expected[:4], strict=True))


@both_forms
def test_the_state_that_was_given_stays(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, whole=whole)
    drawn = Drawn(5, 3, 7, torch.float32, ragged=False, first=False)
    before = [part.clone() for part in (*drawn.state, *drawn.dfinal)]
    drawn.check(1e-5)
    assert all(torch.equal(a, b) for a, b in zip((*drawn.state, *drawn.dfinal), before, strict=True))


@both_forms
@ragged_or_not
@every_dtype
@pytest.mark.parametrize(
    ("batch", "time", "sizes"), [(1, 1, (1, 3, 2)), (5, 3, (3, 7, 3)), (17, 3, (5, 20, 7)), (5, 3, (2, 40, 20))]
)
def test_statistical_equals_the_plain_loops(
    batch: int,
    time: int,
    sizes: tuple[int, int, int],
    dtype: torch.dtype,
    tolerance: float,
    ragged: bool,
    whole: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose(monkeypatch, whole=whole)
    check_statistical(batch, time, sizes, dtype, tolerance, ragged=ragged)


@both_forms
def test_nan_is_not_hidden(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, whole=whole)
    drawn = Drawn(2, 3, 7, torch.float32, ragged=False, first=True)
    drawn.gates_BTG[0, 0] = torch.nan
    (h_BTH, *_), _ = drawn.forward(rwa.LOOPS)
    phi_BTP, weight = drawn.gates_BTG[:, :, :7].contiguous(), randn(7, 7, seed=2, dtype=torch.float32)
    alpha_A, q_B1R = torch.full((1,), 0.5, device=DEVICE), torch.zeros(2, 1, 7, device=DEVICE)
    r_BTR = statistical.LOOPS.forward(phi_BTP, q_B1R, alpha_A, weight, torch.zeros_like(weight[0]), weight, None)
    assert all(part[0].isnan().all() for part in (h_BTH, phi_BTP, r_BTR[:, 1:]))
    assert not any(part[1].isnan().any() for part in (h_BTH, phi_BTP, r_BTR))


@every_dtype
@pytest.mark.parametrize(("batch", "time", "decays", "size"), [(1, 1, 1, 3), (2, 3, 3, 70), (3, 5, 5, 64)])
def test_averages_equal_the_plain_ones(
    batch: int, time: int, decays: int, size: int, dtype: torch.dtype, tolerance: float
) -> None:
    exact = state_dtype(dtype)
    alpha_A = torch.tensor([0.0, 0.25, 0.5, 0.9, 0.99][:decays], dtype=exact, device=DEVICE)
    phi_BTP, mu_BAP = randn(batch, time, size, seed=1, dtype=dtype), randn(batch, decays, size, seed=2, dtype=exact)
    dmu_BTAP = randn(batch, time, decays, size, seed=3, dtype=dtype)
    plain = fused.averages.PLAIN
    for back in (False, True):
        expected = plain.forward(phi_BTP, mu_BAP, alpha_A, back=back)
        close([averages.FILTER.forward(phi_BTP, mu_BAP, alpha_A, back=back)], [expected], tolerance)
    close(averages.FILTER.backward(dmu_BTAP, alpha_A), plain.backward(dmu_BTAP, alpha_A), tolerance)


class Replayed:
    """In place of a CUDA graph: two launches of every step, then the clock in the table moves on."""

    def __init__(self, graph: launch._Graph) -> None:
        self.graph = graph
        launch._launch(graph.steps, graph.table, 1)  # the first, with T = 0, must do nothing

    def replay(self) -> None:
        launch._launch(self.graph.steps, self.graph.table, launch.STEPS)
        self.graph.table[0].add_(launch.STEPS)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(launch, "STEPS", 2)
    monkeypatch.setattr(launch, "_may_replay", lambda _: True)
    monkeypatch.setattr(launch, "_stream", lambda _: 0)
    monkeypatch.setattr(launch._Graph, "_capture", lambda graph: Replayed(graph))
    launch._graph.cache_clear()
    yield
    launch._graph.cache_clear()


@pytest.mark.usefixtures("replays")
def test_a_graph_serves_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, whole=False)
    for time in (3, 1, 2, 5):
        Drawn(5, time, 7, torch.float32, ragged=True, first=True).check(1e-5)
        check_statistical(5, time, (3, 7, 3), torch.float32, 1e-5, ragged=True)
    # RWA forwards, and backwards with and without dh; the statistical unit both ways
    assert launch._graph.cache_info().currsize == 5


CELLS: dict[str, Cell] = {
    "rwa": RWA(3, 5),
    "statistical": Statistical(3, 5, phi_size=6, recurrent_size=4),
    "statistical without recurrent statistics": Statistical(3, 5, phi_size=6, variant="multiscale"),
}


@pytest.mark.parametrize("core", package.CORES)
def test_a_scan_is_the_reference_loop(core: str) -> None:
    cell = CELLS[core].to(DEVICE)
    x_BTI, lengths_B = randn(5, 3, 3, seed=1, dtype=torch.float32), some_lengths(5, 3, ragged=True)
    results = []
    for run in (None, package.scan(core)):
        state = cell.begin(5)
        if run is None:
            out_BTO, final = Recurrent(cell, backend="reference")(x_BTI, lengths_B, state)
        else:
            out_BTO, final = run(x_BTI, state, cell.layer_weights(), lengths_B, every=True)
        weights_BTO = randn(*out_BTO.shape, seed=2, dtype=torch.float32)
        grads = torch.autograd.grad((out_BTO * weights_BTO).sum(), [*cell.parameters()])
        results.append([part.detach() for part in (out_BTO, *final, *grads)])
    close(results[1], results[0], 1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(16, 250), (1, 1), (3, 33)])
def test_padded_copies(rows: int, columns: int) -> None:
    tensor = randn(rows, columns, seed=1)
    copy = launch.padded(tensor, torch.float32, 16, 256)
    assert torch.equal(copy[:rows, :columns], tensor.float())
    assert not copy[rows:].any()
    assert not copy[:, columns:].any()


@pytest.mark.parametrize("size", [1, 16, 60, 100, 128, 129, 250, 300, 512, 600, 1024, 4000])
@pytest.mark.parametrize("decays", [1, 5, 12])
def test_stages_fit_into_shared_memory(size: int, decays: int) -> None:
    rwa_tile = tiles.rwa_tile(size)
    tile, block = tiles.statistical_tile(decays, size, min(size, 60))
    sides = tiles.power_of_two(decays, least=1)
    for one, columns in ((rwa_tile, 2 * rwa_tile.units), (tile, max(tile.units, sides * block))):
        assert (one.rows + columns) * one.depth * one.stages * 4 <= 227 * 1024
        assert min(one.rows, one.units, one.depth) >= 16
        assert one.warps in (4, 8, 16)
        assert not one.whole or one.units >= size


def test_a_row_too_long_for_a_tile_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LONGEST", 13 * 3 * 7)
    with pytest.raises(UserError, match="273 numbers"):
        Drawn(2, 13, 7, torch.float32, ragged=False, first=True).forward(rwa.LOOPS)


def test_why_it_does_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert "not written" in str(package.unavailable("lstm", cpu, torch.float32))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "interpreter" in str(package.unavailable("rwa", cpu, torch.float32))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert package.unavailable("rwa", cpu, torch.float64) is None
    assert "it takes" in str(package.unavailable("rwa", cpu, torch.int32))
    assert "NVIDIA" in str(package.unavailable("rwa", torch.device("mps"), torch.float32))
    monkeypatch.setattr(package, "find_spec", lambda _: None)
    assert "missing" in str(package.unavailable("rwa", cpu, torch.float32))


def in_a_process(*arguments: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *arguments], env=clean | environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_does_not_import_triton() -> None:
    ask = "import sys, s2s.kernels.triton; print(sorted(n for n in sys.modules if n.split('.')[0] == 'triton'))"
    assert in_a_process("-c", ask).strip() == "[]"


def test_every_kernel_compiles_for_a_gpu(tmp_path: Path) -> None:
    script = Path(__file__).with_name("triton_to_ptx.py")
    compiled = in_a_process(str(script), TRITON_CACHE_DIR=str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert {*compiled.splitlines()} == {
        f"{module} {way}_kernel" for module in ("rwa", "statistical", "averages") for way in ("forward", "backward")
    }


@on_a_gpu
@ragged_or_not
@pytest.mark.parametrize("hidden", [64, 250, 1024])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)])
def test_rwa_on_a_gpu(hidden: int, dtype: torch.dtype, tolerance: float, ragged: bool) -> None:
    """The middle of three lengths replays the graph of the first, and the last group of steps is not full."""
    for time in (32, 50, 3):
        Drawn(100, time, hidden, dtype, ragged=ragged, first=True).check(tolerance)


@on_a_gpu
@ragged_or_not
@pytest.mark.parametrize("sizes", [(5, 200, 60), (5, 600, 100), (1, 64, 16)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)])
def test_statistical_on_a_gpu(sizes: tuple[int, int, int], dtype: torch.dtype, tolerance: float, ragged: bool) -> None:
    for time in (32, 50, 3):
        check_statistical(100, time, sizes, dtype, tolerance, ragged=ragged)


@on_a_gpu
@pytest.mark.parametrize("hidden", [64, 250])
def test_a_scan_can_be_captured_into_a_graph_of_the_caller(hidden: int) -> None:
    drawn = Drawn(20, 10, hidden, torch.float32, ragged=True, first=True)
    gates_BTG = drawn.gates_BTG.clone()
    expected, _ = drawn.forward(rwa.LOOPS)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gates_BTG.copy_(drawn.gates_BTG)
        h_BTH, _, final = rwa.LOOPS.forward(gates_BTG, drawn.state, drawn.weight_hh, drawn.lengths_B, save=True)
    for _ in range(2):
        graph.replay()
        close([h_BTH, *final], expected[:4], 1e-6)
