"""What a layer adds to a cell: what it keeps, which backend it takes, and a loop whose backward is linear in time."""

from __future__ import annotations

import logging
from collections import Counter
from typing import NoReturn

import pytest
import torch
from catalogue import CASES, CORES, close, layer, mid_state, randn
from torch import Tensor, nn

from s2s.cores import LSTM, RWA, BackendUnavailable, Cell, Prepared, Recurrent, State, scan
from s2s.cores.recurrent import choose
from s2s.errors import UserError
from s2s.kernels import Backend, compiled
from s2s.kernels.compiled import build


@pytest.mark.parametrize(("name", "backend"), CASES)
@pytest.mark.parametrize("reverse", [False, True])
def test_keep_last_is_the_output_after_the_last_step(name: str, backend: Backend, reverse: bool) -> None:
    whole = layer(name, backend, reverse=reverse)
    ends = Recurrent(whole.cell, reverse=reverse, keep="last", backend=backend)
    x_BTI, lengths_B = randn(4, 5, 3), torch.tensor([5, 2, 4, 1])
    out_BTO, final = whole(x_BTI, lengths_B)
    out_BO, same = ends(x_BTI, lengths_B)
    first = torch.zeros(4, dtype=torch.long) if reverse else lengths_B - 1
    close(out_BO, out_BTO[torch.arange(4), first])
    close(same, final)
    close(whole.summary(final), out_BO)


def test_a_reversed_layer_cannot_be_stepped() -> None:
    module = layer("gru", "auto", reverse=True)
    with pytest.raises(UserError, match="cannot be stepped"):
        module.step(randn(2, 15), module.begin(2), module.prepare())


@pytest.mark.parametrize("lengths_B", [torch.tensor([6, 1]), torch.tensor([-1, 1]), torch.tensor([1, 1, 1])])
def test_lengths_that_do_not_fit_are_refused(lengths_B: Tensor) -> None:
    with pytest.raises(ValueError, match="lengths"):
        layer("lstm", "auto")(randn(2, 5, 3), lengths_B)


def test_full_lengths_take_the_plain_path() -> None:
    module = layer("lstm", "native")
    x_BTI = randn(2, 5, 3)
    plain, full = module(x_BTI), module(x_BTI, torch.tensor([5, 5]))
    assert torch.equal(plain[0], full[0])
    assert all(torch.equal(a, b) for a, b in zip(plain[1], full[1], strict=True))


@pytest.mark.parametrize("name", CORES)
def test_native_serves_what_it_computes_and_refuses_the_rest(name: str) -> None:
    serves = name in ("elman-tanh", "elman-relu", "lstm", "lstm-forget-bias", "gru")
    module = Recurrent(CORES[name](3, 5), backend="native")
    if serves:
        assert module(torch.randn(2, 4, 3))[0].shape == (2, 4, 5)
        return
    with pytest.raises(BackendUnavailable, match="torch has no fused layer that computes the same function"):
        module(torch.randn(2, 4, 3))
    assert Recurrent(module.cell)(torch.randn(2, 4, 3))[0].shape == (2, 4, 5)


def test_auto_says_once_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    class Renamed(RWA):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.kernel = "heard once"

    with caplog.at_level(logging.INFO, logger="s2s"):
        for _ in range(3):
            for dtype in (torch.float32, torch.float64):
                Recurrent(Renamed()).to(dtype)(torch.randn(1, 2, 2, dtype=dtype))
    said = [record.getMessage() for record in caplog.records if "heard once" in record.getMessage()]
    assert len(said) == 1
    assert "backend reference" in said[0]
    assert "no backward was derived" in said[0]


@pytest.mark.parametrize(("core", "backend"), [("lstm", "native"), ("gru", "compiled"), ("rwa", "compiled")])
def test_auto_takes_the_fastest(core: str, backend: str) -> None:
    kernel = choose(core, "auto", torch.device("cpu"), torch.float32)
    assert kernel is not None
    assert kernel.name == backend


def test_without_a_compiler_plain_torch_serves_and_this_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: str) -> NoReturn:
        raise build.BuildFailed("no C++ compiler was found")

    monkeypatch.setattr(build, "library", refuse)
    for cached in (compiled.not_built, compiled._say_once, choose):
        cached.cache_clear()
    with caplog.at_level(logging.WARNING, logger="s2s"):
        kernels = [choose(core, "auto", torch.device("cpu"), torch.float32) for core in ("rwa", "gru", "statistical")]
    for cached in (compiled.not_built, choose):
        cached.cache_clear()
    assert [kernel and kernel.name for kernel in kernels] == ["fused", "native", "fused"]
    assert [record.getMessage().count("no C++ compiler") for record in caplog.records] == [1]


def nodes(output: Tensor) -> Counter[str]:
    """How often each kind of node stands in the backward graph."""
    seen, queue, kinds = set(), [output.grad_fn], Counter[str]()
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        kinds[node.name()] += 1
        queue.extend(function for function, _ in node.next_functions)
    return kinds


@pytest.mark.parametrize("name", CORES)
def test_the_backward_of_the_scan_is_linear_in_time(name: str) -> None:
    """No step may index the sequence: each such node's backward fills a tensor as long as the sequence."""
    module = layer(name, "reference")
    counts = []
    for time in (4, 8, 12):
        g_BTG = module.project(randn(2, time, 3))
        hidden_BTK, _ = scan(module.cell, g_BTG, mid_state(module.cell, 2), torch.tensor([time, 2]))
        counts.append(nodes(hidden_BTK))
    for kind in ("UnbindBackward0", "StackBackward0"):
        assert [count[kind] for count in counts] == [1, 1, 1]
    for kind in ("SelectBackward0", "SliceBackward0", "IndexBackward0"):
        assert [count[kind] for count in counts] == [counts[0][kind]] * 3
    totals = [count.total() for count in counts]
    assert totals[2] - totals[1] == totals[1] - totals[0] > 0


class LeakySum(Cell):
    """h_t = decay * h_{t-1} + W x_t: a core of somebody's own."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(
            input_size, hidden_size, output_size=hidden_size, gate_size=hidden_size, seed_sizes=(hidden_size,)
        )
        self.weight = nn.Parameter(torch.empty(hidden_size, input_size))
        self.decay = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def project(self, x_BTI: Tensor) -> Tensor:
        return x_BTI @ self.weight.t()

    def prepare(self) -> Prepared:
        return (self.decay.sigmoid(),)

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        (h_BH,), (decay_H,) = state, prepared
        return (decay_H * h_BH + g_BG,)


def test_a_core_of_ones_own_needs_no_fork() -> None:
    module = Recurrent(LeakySum(3, 4)).double()
    x_BTI = randn(2, 3, 3)
    out_BTO, _ = module(x_BTI, torch.tensor([3, 2]))
    g_BTG, decay_H = module.project(x_BTI), module.cell.decay.sigmoid()  # type: ignore[union-attr,operator]
    close(out_BTO[0, 2], g_BTG[0, 2] + decay_H * (g_BTG[0, 1] + decay_H * g_BTG[0, 0]))
    assert not out_BTO[1, 2].any()
    with pytest.raises(BackendUnavailable, match="your own"):
        Recurrent(LeakySum(3, 4), backend="native")(torch.randn(2, 3, 3))


def test_a_module_keeps_no_state_between_calls() -> None:
    module = Recurrent(LSTM(3, 4)).double()
    x_BTI = randn(2, 3, 3)
    first, _ = module(x_BTI)
    module(randn(5, 2, 3, seed=9))
    assert torch.equal(module(x_BTI)[0], first)
    assert dict(module.named_buffers()) == {}


@pytest.mark.parametrize("core", ["rwa", "gru", "statistical"])
def test_float16_on_a_cpu_takes_a_backend_that_has_it(core: str) -> None:
    module = layer(core, "auto", dtype=torch.float32)
    x_BTI = randn(2, 3, 3, dtype=torch.float32)
    expected, _ = module(x_BTI)
    with torch.autocast("cpu", torch.float16):
        got, _ = module(x_BTI)
    close(got.float(), expected, rtol=0.01, atol=0.01)
