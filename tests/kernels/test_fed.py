"""The decoder's loop in one function: both engines against autograd through plain steps written from the equations.

Shapes: B batch, T target positions, I input, H hidden, A attention width, S source positions, E width of the values,
F features, G gates, U what is fed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from s2s.cores import GRU, LSTM, Cell
from s2s.kernels.compiled import build
from s2s.kernels.compiled import fed as compiled
from s2s.kernels.fused import fed
from s2s.kernels.fused.fed import Loops, Source, scan

needs_compiler = pytest.mark.skipif(build.unavailable() is not None, reason="no C++ compiler here")
ENGINES = [
    pytest.param(fed.PLAIN, id="fused"),
    pytest.param(compiled.LOOPS, id="compiled", marks=needs_compiler),
]
CELLS = {"gru": GRU, "lstm": LSTM}


class Case(NamedTuple):
    """Which equations."""

    additive: bool
    projected: bool
    """Keys as wide as the state but not the values themselves: `general`."""
    read: bool
    """The attentional vector is fed, else the context."""
    previous: bool = False


CASES = {
    "joey": Case(True, False, True),
    "bahdanau": Case(True, False, False, previous=True),
    "general": Case(False, True, True),
    "dot": Case(False, False, False),
    "dot-previous": Case(False, False, False, previous=True),
    "additive-context": Case(True, False, False),
}


class Sizes(NamedTuple):
    """Not multiples of a vector, and all different where they may be."""

    B: int = 3
    T: int = 4
    S: int = 5
    H: int = 7
    A: int = 6
    E: int = 9
    F: int = 5
    I: int = 3  # noqa: E741


SMALLEST = Sizes(1, 1, 1, 1, 1, 1, 1, 1)


class Given(NamedTuple):
    """All that has a gradient, and the mask."""

    leaves: dict[str, Tensor]
    mask_BS: Tensor
    cell: Cell


@pytest.fixture(autouse=True)
def unwritten_memory_shows() -> Iterator[None]:
    """torch.empty gives NaN."""
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def given_of(core: str, case: Case, sizes: Sizes, dtype: torch.dtype = torch.float64, scale: float = 0.6) -> Given:
    B, T, S, H, A, E, F, I = sizes  # noqa: E741
    E = E if case.additive or case.projected else H
    A = A if case.additive else H
    cell = CELLS[core](I, H)
    leaves = {name: randn(*weight.shape, seed=i) for i, (name, weight) in enumerate(cell.named_parameters())}
    fed_size = F if case.read else E
    shapes = {
        "x": (B, T, I),
        "h": (B, H),
        "keys": (B, S, A),
        "values": (B, S, E),
        "feeding": (len(cell.bias_ih), fed_size),
    }
    if core == "lstm":
        shapes["c"] = (B, H)
    if case.additive:
        shapes |= {"query": (A, H), "energy": (A,)}
    if case.read:
        shapes |= {"reading": (F, E + H), "read": (B, T, F)}
    leaves |= {name: randn(*shape, seed=20 + i) for i, (name, shape) in enumerate(shapes.items())}
    lengths_B = torch.arange(B) % (S + 1)  # the second row and then every so often has a single token, the first none
    lengths_B[-1] = S
    mask_BS = torch.arange(S) < lengths_B[:, None]
    scaled = {name: (scale * leaf).to(dtype).requires_grad_() for name, leaf in leaves.items()}
    return Given(scaled, mask_BS, cell.to(dtype))


def by_steps(given: Given, case: Case) -> tuple[Tensor | None, ...]:
    """h, contexts, features and weights of all steps, from the equations."""
    leaf, cell = given.leaves, given.cell
    weights = {name: leaf[name] for name, _ in cell.named_parameters()}
    x_BTG = leaf["x"] @ weights["weight_ih"].t() + weights["bias_ih"]
    state = (leaf["h"], leaf["c"]) if "c" in leaf else (leaf["h"],)
    fed_BU = x_BTG.new_zeros(len(x_BTG), leaf["feeding"].shape[1])
    steps = []
    for t in range(x_BTG.shape[1]):
        if case.previous:
            fed_BU, a_BS = look(leaf, state[0], given.mask_BS)
        g_BG = x_BTG[:, t] + fed_BU @ leaf["feeding"].t()
        if "c" in leaf:
            state = cell.step(g_BG + weights["bias_hh"], state, (weights["weight_hh"].t(),))
        else:
            state = cell.step(g_BG, state, (weights["weight_hh"].t(), weights["bias_hh"]))
        if not case.previous:
            fed_BU, a_BS = look(leaf, state[0], given.mask_BS)
        c_BE = fed_BU
        if case.read:
            fed_BU = torch.tanh(torch.cat([c_BE, state[0]], 1) @ leaf["reading"].t() + leaf["read"][:, t])
        steps.append((state[0], c_BE, fed_BU, a_BS))
    h, c, f, a = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
    return h, c, f if case.read else None, a


def look(leaf: dict[str, Tensor], h_BH: Tensor, mask_BS: Tensor) -> tuple[Tensor, Tensor]:
    if "energy" in leaf:
        hidden_BSA = torch.tanh((h_BH @ leaf["query"].t()).unsqueeze(1) + leaf["keys"])
        scores_BS = hidden_BSA @ leaf["energy"]
    else:
        scores_BS = (leaf["keys"] * h_BH.unsqueeze(1)).sum(2)
    weights_BS = scores_BS.masked_fill(~mask_BS, -1e9).softmax(1)
    return (weights_BS.unsqueeze(2) * leaf["values"]).sum(1), weights_BS


def in_one(given: Given, case: Case, loops: Loops) -> tuple[Tensor | None, ...]:
    leaf = given.leaves
    return scan(
        leaf["x"],
        (leaf["h"], leaf["c"]) if "c" in leaf else (leaf["h"],),
        tuple(leaf[name] for name, _ in given.cell.named_parameters()),
        Source(leaf["keys"], leaf["values"], given.mask_BS),
        feeding_GU=leaf["feeding"],
        query_AH=leaf.get("query"),
        energy_A=leaf.get("energy"),
        reading_FK=leaf.get("reading"),
        read_BTF=leaf.get("read"),
        previous=case.previous,
        loops=loops,
    )


def loss_of(outputs: tuple[Tensor | None, ...], used: range = range(4)) -> Tensor:
    """A gradient that differs everywhere, from the outputs that are used."""
    parts = [outputs[i] for i in used]
    return sum(
        (x.double() * randn(*x.shape, seed=40 + i)).sum() for i, x in zip(used, parts, strict=True) if x is not None
    )


def gradients(outputs: tuple[Tensor | None, ...], given: Given, used: range = range(4)) -> dict[str, Tensor]:
    """Zero where nothing flowed."""
    leaves = given.leaves
    grads = torch.autograd.grad(loss_of(outputs, used), list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), grads, strict=True)
    return {name: torch.zeros_like(leaf) if grad is None else grad for (name, leaf), grad in pairs}


every_core = pytest.mark.parametrize("core", CELLS)
every_case = pytest.mark.parametrize("name", CASES)
every_engine = pytest.mark.parametrize("loops", ENGINES)


@every_core
@every_case
@every_engine
@pytest.mark.parametrize("sizes", [Sizes(), SMALLEST, Sizes(B=131, T=3, H=16, A=16), Sizes(H=37, A=33, E=35, F=40)])
def test_outputs_and_gradients_are_those_of_the_steps(core: str, name: str, loops: Loops, sizes: Sizes) -> None:
    """A source without a token, one row, one step, one position, more rows than a group has, wider than a panel."""
    case, given = CASES[name], given_of(core, CASES[name], sizes)
    expected, got = by_steps(given, case), in_one(given, case, loops)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(gradients(got, given), gradients(expected, given), rtol=1e-8, atol=1e-10)


@every_case
@every_engine
@pytest.mark.parametrize("used", range(4), ids=["h", "context", "features", "weights"])
def test_only_one_output_is_used(name: str, loops: Loops, used: int) -> None:
    case, given = CASES[name], given_of("gru", CASES[name], Sizes())
    if used == 2 and not case.read:
        pytest.skip("there are no features")
    one = range(used, used + 1)
    expected, got = (gradients(way, given, one) for way in (by_steps(given, case), in_one(given, case, loops)))
    assert any(grad.any() for grad in expected.values())
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10)


@every_core
@every_case
@every_engine
def test_gradcheck(core: str, name: str, loops: Loops) -> None:
    case, given = CASES[name], given_of(core, CASES[name], Sizes(B=2, T=3, S=2, H=3, A=2, E=3, F=2, I=2))

    def outputs(*values: Tensor) -> tuple[Tensor, ...]:
        replaced = given._replace(leaves=dict(zip(given.leaves, values, strict=True)))
        return tuple(part for part in in_one(replaced, case, loops) if part is not None)

    assert torch.autograd.gradcheck(outputs, tuple(given.leaves.values()), fast_mode=True)


@every_core
@every_case
@every_engine
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 3e-5), (torch.bfloat16, 0.04)])
@pytest.mark.parametrize("sizes", [Sizes(B=6), Sizes(B=70, T=5, H=33, A=20, E=31, F=18)])
def test_narrower_types(core: str, name: str, loops: Loops, dtype: torch.dtype, bound: float, sizes: Sizes) -> None:
    """bfloat16 under autocast; gradients come in the dtype of what they are of."""
    case = CASES[name]
    exact = given_of(core, case, sizes, scale=0.3)
    right = by_steps(exact, case)
    rounded = given_of(core, case, sizes, torch.float32, scale=0.3)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        got = in_one(rounded, case, loops)
    assert [part.dtype for part in got if part is not None][:2] == [dtype, dtype]
    assert got[3].dtype == torch.float32
    for mine, true in zip(got, right, strict=True):
        if mine is not None:
            assert (mine.double() - true).norm() <= bound * true.norm()
    expected, gained = gradients(right, exact), gradients(got, rounded)
    for key, true in expected.items():
        assert gained[key].dtype == torch.float32
        assert (gained[key].double() - true).norm() <= bound * max(float(true.norm()), 1e-2), key


FAR = {
    60.0: (-60.3, 60.0, 0.0),
    59.9: (-39.5, 0.0, -30.0),
    -39.0: (50.0, 42.0, 41.0),
    -60.0: (60.2, 0.0, 59.0),
    0.3: (300.0, -300.0, 0.1),
}
"""Queries, and keys beside them: e^2k or e^2q leaves the range of a float, or both do and their product is near 1."""


@every_core
@every_engine
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_queries_and_keys_far_out(core: str, loops: Loops, dtype: torch.dtype, bound: float) -> None:
    case = CASES["bahdanau"]
    exact = given_of(core, case, Sizes(B=len(FAR), T=1, S=3, H=4, A=5))
    leaf = exact.leaves
    with torch.no_grad():
        leaf["h"].copy_(torch.tensor([*FAR]).double()[:, None].expand(-1, 4) / 60)
        leaf["query"].fill_(15.0)
        leaf["keys"].copy_(torch.tensor([*FAR.values()]).double()[..., None].expand(-1, -1, 5))
        leaf["energy"].fill_(1.0)
    exact = exact._replace(mask_BS=torch.ones(len(FAR), 3, dtype=torch.bool))
    rounded = exact._replace(leaves={k: v.detach().to(dtype).requires_grad_() for k, v in leaf.items()})
    right, got = by_steps(exact, case), in_one(rounded, case, loops)
    for mine, true in zip(got, right, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine.double(), true, rtol=0, atol=bound)
    expected, gained = gradients(right, exact), gradients(got, rounded)
    for key, true in expected.items():
        assert (gained[key].double() - true).norm() <= 10 * bound * max(float(true.norm()), 1.0), key


@every_core
@every_case
@needs_compiler
def test_threads_change_nothing(core: str, name: str) -> None:
    """But the order of the sums over rows, which are those of the energy."""
    case, given = CASES[name], given_of(core, CASES[name], Sizes(B=70))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            got = in_one(given, case, compiled.LOOPS)
            results.append((got, gradients(got, given)))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(results[1], results[0], rtol=1e-11, atol=1e-12)


@every_case
@every_engine
def test_backward_can_run_twice(name: str, loops: Loops) -> None:
    given = given_of("gru", CASES[name], Sizes())
    loss = loss_of(in_one(given, CASES[name], loops))
    leaves = list(given.leaves.values())
    first, second = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_case
@every_engine
def test_strides_do_not_matter(name: str, loops: Loops) -> None:
    case, given = CASES[name], given_of("lstm", CASES[name], Sizes())
    turned = {
        key: leaf.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_()
        for key, leaf in given.leaves.items()
    }
    strange = Given(turned, given.mask_BS.t().contiguous().t(), given.cell)
    expected, got = in_one(given, case, loops), in_one(strange, case, loops)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(got, strange), gradients(expected, given))
