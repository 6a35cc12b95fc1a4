"""Additive attention that learns: values and gradients against torch's own operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from s2s.kernels import additive
from s2s.kernels.compiled import not_built
from s2s.models import Attention

pytestmark = pytest.mark.skipif(not_built("additive") is not None, reason="no C++ compiler")
SIZES = [(3, 4, 5, 37, 21), (1, 1, 1, 1, 1), (2, 3, 1, 8, 16), (65, 2, 3, 16, 9)]


def made(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64, scale: float = 1.0) -> tuple[Tensor, ...]:
    batch, queries, positions, width, values = sizes
    generator = torch.Generator().manual_seed(sum(sizes))

    def random(*shape: int) -> Tensor:
        return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)

    mask_BS = torch.arange(positions) < 1 + torch.arange(batch).unsqueeze(1) % positions
    mask_BS[-1] &= batch == 1  # a sentence in which nothing may be looked at
    given = random(batch, queries, width), random(batch, positions, width), random(batch, positions, values)
    return *given, mask_BS, random(width).to(torch.promote_types(dtype, torch.float32))


def plain(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    scores = torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1)) @ energy
    weights = scores.masked_fill(~mask.unsqueeze(1), -1e9).softmax(-1)
    return weights @ values, weights


def gradients(function: object, given: tuple[Tensor, ...], context: Tensor, weights: Tensor) -> list[Tensor]:
    leaves = [part.clone().requires_grad_(part.is_floating_point()) for part in given]
    found = function(*leaves)  # type: ignore[operator]
    ((found[0] * context).sum() + (found[1] * weights).sum()).backward()
    return [*found, *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 60.0])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients(sizes: tuple[int, ...], scale: float, threads: int) -> None:
    torch.set_num_threads(threads)
    given = made(sizes, scale=scale)
    context, weights = plain(*given)
    upstream = torch.randn_like(context), torch.randn_like(weights)
    for found, expected in zip(
        gradients(additive.attend, given, *upstream), gradients(plain, given, *upstream), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_gradcheck() -> None:
    query, keys, values, mask, energy = made((3, 2, 4, 5, 6))
    leaves = [part.requires_grad_() for part in (query, keys, values, energy)]
    assert torch.autograd.gradcheck(lambda q, k, v, e: additive.attend(q, k, v, mask, e), leaves)


def test_weights_alone_have_a_gradient() -> None:
    given = made((3, 2, 4, 5, 6))
    leaves = [part.clone().requires_grad_(part.is_floating_point()) for part in given]
    others = [part.clone().requires_grad_(part.is_floating_point()) for part in given]
    additive.attend(*leaves)[1].square().sum().backward()
    plain(*others)[1].square().sum().backward()
    for leaf, other in zip(leaves[:2], others[:2], strict=True):
        torch.testing.assert_close(leaf.grad, other.grad)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_less_precision(dtype: torch.dtype, tolerance: float) -> None:
    given = made((4, 5, 6, 40, 24), dtype)
    exact = tuple(part.double() if part.is_floating_point() else part for part in given)
    context, weights = plain(*exact)
    upstream = torch.randn_like(context), torch.randn_like(weights)
    for found, expected in zip(
        gradients(additive.attend, given, *upstream), gradients(plain, exact, *upstream), strict=True
    ):
        torch.testing.assert_close(
            found.double(), expected, rtol=tolerance, atol=tolerance * (1 + float(expected.detach().std()))
        )


@pytest.mark.parametrize("autocast", [False, True])
def test_attention_learns_by_it(monkeypatch: pytest.MonkeyPatch, autocast: bool) -> None:
    """The module's own weights, too; and it is taken, with and without autocast."""
    attention = Attention(6, 7, score="additive", size=5)
    query, values = torch.randn(3, 4, 6, requires_grad=True), torch.randn(3, 5, 7, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([[5], [2], [3]])
    calls, found = [], []
    original = additive.attend

    def counted(*given: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(additive, "attend", counted)
    for taken in (True, False):
        if not taken:
            monkeypatch.setattr(additive, "learns_here", lambda *_: False)
        attention.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            context, weights = attention(query, attention.keys(values), values, mask)
        (context.float().square().sum() + weights.square().sum()).backward()
        found.append([context.float(), weights, *(parameter.grad.clone() for parameter in attention.parameters())])
    assert len(calls) == 1
    tolerance = 5e-2 if autocast else 1e-5
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=tolerance, atol=tolerance)
