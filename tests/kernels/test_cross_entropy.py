"""The chunked output layer with its loss against torch's own pieces."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.kernels import cross_entropy, switchback
from s2s.kernels.compiled import build
from s2s.kernels.compiled.softmax import softmax_rows
from s2s.kernels.cross_entropy import Mixed, linear_cross_entropy
from s2s.kernels.vectors import multiplies_fours, multiplies_pairs


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways through the middle of the function."""
    if request.param == "plain":
        monkeypatch.setattr(cross_entropy, "_compiled", lambda *_: False)
    elif reason := build.unavailable():
        pytest.skip(reason)
    return str(request.param)


def _parts(rows: int, vocabulary: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(rows)
    features = torch.randn(rows, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, requires_grad=True)
    bias = torch.randn(vocabulary, dtype=dtype, requires_grad=True)
    return features, weight, bias, torch.randint(vocabulary, (rows,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 40, 1 << 20])
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.usefixtures("way")
def test_equals_cross_entropy_and_its_gradients(
    rows: int, elements: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "BYTES", 8 * elements)
    features, weight, bias, target = _parts(rows, 13, 5, torch.float64)
    total, nll = linear_cross_entropy(features, weight, bias, target, smoothing=smoothing)
    logits = F.linear(features, weight, bias)
    wanted = F.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(total, wanted)
    torch.testing.assert_close(nll, F.cross_entropy(logits, target, reduction="sum"))
    ours = torch.autograd.grad(3.0 * total, (features, weight, bias))
    theirs = torch.autograd.grad(3.0 * wanted, (features, weight, bias))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 40, 1 << 20])
def test_a_mixture_equals_its_formula_and_its_gradients(
    elements: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some targets lie beyond the vocabulary, some have hardly any probability from one of the two parts."""
    monkeypatch.setattr(cross_entropy, "BYTES", 8 * elements)
    features, weight, bias, target = _parts(9, 13, 5, torch.float64)
    target[::4] = torch.tensor([13, 20, 14])
    own, other = (torch.randn(9, dtype=torch.float64) for _ in range(2))
    own[1], other[2] = -300.0, -300.0
    own.requires_grad_()
    other.requires_grad_()
    total, nll = linear_cross_entropy(features, weight, bias, target, smoothing=smoothing, mixed=Mixed(own, other))
    generated = F.linear(features, weight, bias).softmax(1) * own.exp().unsqueeze(1)
    padded = F.pad(generated, (0, 10)).gather(1, target.unsqueeze(1)).squeeze(1)
    losses = -(padded + other.exp()).log()
    wanted = ((1 - smoothing) * losses - smoothing * generated.log().mean(1)).sum()
    torch.testing.assert_close(total, wanted)
    torch.testing.assert_close(nll, losses.sum())
    inputs = (features, weight, bias, own, other)
    ours, theirs = (torch.autograd.grad(2.0 * value, inputs) for value in (total, wanted))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.usefixtures("way")
def test_no_rows_give_zero() -> None:
    features, weight, bias, target = _parts(0, 13, 5, torch.float32)
    total, nll = linear_cross_entropy(features, weight, bias, target)
    assert total.item() == nll.item() == 0


@pytest.mark.usefixtures("way")
def test_bfloat16_products_stay_near_float32() -> None:
    features, weight, bias, target = _parts(64, 50, 32, torch.float32)
    exact, _ = linear_cross_entropy(features, weight, bias, target, smoothing=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = linear_cross_entropy(features.bfloat16(), weight, bias, target, smoothing=0.1)
    assert total.dtype == torch.float32
    assert abs(total.item() / exact.item() - 1) < 0.02
    total.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    left, right = weight.grad, torch.autograd.grad(exact, weight)[0]
    assert float((left - right).norm() / right.norm()) < 0.02


needs_vectors = pytest.mark.skipif(not multiplies_pairs(), reason="no vectors of bfloat16 pairs here")
needs_eights = pytest.mark.skipif(not multiplies_fours(), reason="no vectors of 8 bits here")
in_each_precision = pytest.mark.parametrize(
    "precision",
    [pytest.param(nullcontext, id="bfloat16"), pytest.param(switchback.eight_bits, id="8-bits", marks=needs_eights)],
)


@needs_vectors
@in_each_precision
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("rows", "vocabulary", "width"),
    [(1, 13, 4), (7, 97, 33), (150, 400, 64), (13, 5000, 30), (2100, 300, 16), (1700, 8000, 4)],
)
def test_one_call_into_cpp_is_the_formula_in_float64(
    rows: int,
    vocabulary: int,
    width: int,
    threads: int,
    smoothing: float,
    precision: type[AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the rounded features and weights. Odd numbers of rows, several chunks and parts, panels that are not full."""
    monkeypatch.setattr(cross_entropy, "LEAST", 1)
    torch.set_num_threads(threads)
    features, weight, bias, target = _parts(rows, vocabulary, width, torch.float32)
    with torch.autocast("cpu", torch.bfloat16), precision():
        total, nll = linear_cross_entropy(features, weight, bias, target, smoothing=smoothing)
    found = torch.autograd.grad(2.0 * total, (features, weight, bias))
    exact = [part.detach().bfloat16().double().requires_grad_() for part in (features, weight)]
    exact.append(bias.detach().double().requires_grad_())
    logits = F.linear(*exact)
    wanted = F.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    assert abs(total.item() / wanted.item() - 1) < 2e-3
    assert abs(nll.item() / F.cross_entropy(logits, target, reduction="sum").item() - 1) < 2e-3
    for left, right in zip(found, torch.autograd.grad(2.0 * wanted, exact), strict=True):
        assert float((left.double() - right).norm()) <= 0.02 * float(right.norm())


@needs_vectors
@in_each_precision
@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_one_call_into_cpp_spares_other_rows_from_what_is_no_number(
    odd: float, precision: type[AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "LEAST", 1)
    features, weight, bias, target = _parts(30, 100, 8, torch.float32)
    features.data[4, 2] = odd
    with torch.autocast("cpu", torch.bfloat16), precision():
        total, _ = linear_cross_entropy(features, weight, bias, target)
    assert total.isnan()
    (d_features,) = torch.autograd.grad(total, features)
    assert d_features[4].isnan().all()
    assert d_features[torch.arange(30) != 4].isfinite().all()


@needs_eights
@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_in_8_bits_a_weight_that_is_no_number_says_so(odd: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "LEAST", 1)
    features, weight, bias, target = _parts(5, 300, 8, torch.float32)
    weight.data[270, 3] = odd
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(features, weight, bias, target)
    assert total.isnan()
    assert torch.autograd.grad(total, features)[0].isnan().all(1).all()


@needs_eights
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("pull", [8.0, 14.0, 20.0])
def test_in_8_bits_the_gradient_holds_where_the_target_is_likely(pull: float, smoothing: float) -> None:
    """The target's part and the rest of the softmax cancel there: neither may be rounded alone."""
    torch.manual_seed(0)
    weight, target = 0.1 * torch.randn(4000, 256), torch.randint(4000, (60,))
    chosen = weight[target]
    features = 0.3 * torch.randn(60, 256) + pull * chosen / chosen.square().sum(1, keepdim=True)
    leaves = [
        features.bfloat16().float().requires_grad_(),
        weight.requires_grad_(),
        torch.zeros(4000, requires_grad=True),
    ]
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(*leaves, target, smoothing=smoothing)
    found = torch.autograd.grad(total, leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    logits = F.linear(*exact)
    wanted = torch.autograd.grad(F.cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing), exact)
    assert (
        float(logits.detach().softmax(1).gather(1, target.unsqueeze(1)).mean())
        > {8.0: 0.2, 14.0: 0.9, 20.0: 0.99}[pull]
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert float((ours.double() - theirs).norm()) < 0.05 * float(theirs.norm())


@needs_eights
@pytest.mark.parametrize("below", [7.0, 9.5, 10.5, 12.5])
def test_in_8_bits_numbers_below_the_step_are_not_lost(below: float) -> None:
    """One token has nearly all probability, a hundred others less than a step each, but together not little."""
    rows, width = 4096, 64
    features = torch.zeros(rows, width, requires_grad=True)
    weight = torch.zeros(256, width)
    weight[1:101] = 1.0
    bias = torch.full((256,), -20.0)
    bias[0], bias[1:101] = 0.0, -below  # e^-7 is a quarter of 1 / 255, e^-12.5 a thousandth
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(features, weight, bias, torch.full((rows,), 200))
    (found,) = torch.autograd.grad(total, features)
    wanted = torch.softmax(bias.double(), 0) @ weight.double()
    assert float((found.mean(0).double() / wanted - 1).abs().max()) < 0.05


@needs_eights
@pytest.mark.parametrize(("size", "others"), [(30.0, 0.0), (300.0, 0.0), (30.0, -90.0)])
def test_in_8_bits_the_likeliest_token_of_many_rows_is_not_lost(size: float, others: float) -> None:
    """Its part, the largest there is room for, may not be rounded to one more, whatever the size of logits."""
    rows, vocabulary = 8192, 300
    features = torch.zeros(rows, 2)
    features[:, 0] = torch.linspace(0.9, 1.1, rows)
    leaves = [features.requires_grad_(), torch.zeros(vocabulary, 2), torch.full((vocabulary,), others)]
    leaves[1][1, 0], leaves[1][1, 1] = size, 1.0
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(*leaves, torch.zeros(rows, dtype=torch.long))
    (found,) = torch.autograd.grad(total, features)
    assert float((found[:, 1] - 1.0).abs().max()) < 0.02


@needs_eights
@pytest.mark.parametrize("sure", [7.0, 8.0, 9.5])
def test_in_8_bits_the_bias_of_rows_of_small_numbers_adds_up(sure: float) -> None:
    """What is left in rows that are sure of their target is small, down to a hundredth of a step, and together much."""
    rows, vocabulary, target = 30_000, 300, 299
    features = torch.zeros(rows, 2)
    features[::100, 1] = 1.0
    weight, bias = torch.zeros(vocabulary, 2), torch.zeros(vocabulary, requires_grad=True)
    weight[0, 1] = 2 * sure
    with torch.no_grad():
        bias[target] = sure
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(features, weight, bias, torch.full((rows,), target))
    (found,) = torch.autograd.grad(total, bias)
    softmax = F.linear(features.double(), weight.double(), bias.detach().double()).softmax(1)
    assert float((found.double() / softmax.sum(0) - 1)[1:target].abs().max()) < 0.05


@needs_eights
def test_in_8_bits_rows_of_small_numbers_add_up_beside_large_ones() -> None:
    """Rows share the scales of dW. What is left beside a likely target is less than a step of another row's."""
    rows, vocabulary, target = 3000, 300, 299
    features = torch.zeros(rows, 16)
    features[:, 0], features[::100, 1] = 0.5, 1.0
    weight, bias = torch.zeros(vocabulary, 16), torch.zeros(vocabulary)
    bias[target], weight[0, 1] = 7.0, 14.0  # every hundredth row is sure of token 0, all others of the target
    leaves = [leaf.requires_grad_() for leaf in (weight, bias)]
    with torch.autocast("cpu", torch.bfloat16), switchback.eight_bits():
        total, _ = linear_cross_entropy(features, *leaves, torch.full((rows,), target))
    found = torch.autograd.grad(total, leaves)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    softmax = F.linear(features.double(), *exact).softmax(1)
    wanted = torch.autograd.grad(-softmax[:, target].log().sum(), exact)
    off = [(ours.double() / theirs - 1)[1:target].abs() for ours, theirs in zip(found, wanted, strict=True)]
    assert float(off[0][:, 0].max()) < 0.05
    assert float(off[1].max()) < 0.05


@needs_vectors
def test_it_is_the_way_of_a_large_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    real = cross_entropy.output.output_layer
    monkeypatch.setattr(cross_entropy.output, "output_layer", lambda *a, **k: (called.append(1), real(*a, **k))[1])
    for vocabulary in (cross_entropy.LEAST - 1, cross_entropy.LEAST):
        features, weight, bias, target = _parts(3, vocabulary, 8, torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            linear_cross_entropy(features, weight, bias, target)
        linear_cross_entropy(features, weight, bias, target)  # float32: torch's products
    assert len(called) == 1


needs_compiler = pytest.mark.skipif(build.unavailable() is not None, reason="no C++ compiler")


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_in_cpp_are_those_of_torch(vocabulary: int, dtype: torch.dtype, threads: int) -> None:
    """Large logits too; what the gradient is added to stays."""
    torch.set_num_threads(threads)
    torch.manual_seed(vocabulary)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    z, bias = (30 * torch.randn(5, vocabulary)).to(dtype), torch.randn(vocabulary, dtype=exact)
    target, d_bias = torch.randint(vocabulary, (5,)), torch.ones(vocabulary, dtype=exact)
    x = (z.to(exact) + bias).requires_grad_()
    rows = softmax_rows(z, bias, target, d_bias, smoothing=0.1)
    torch.testing.assert_close(rows.nll_C, F.cross_entropy(x, target, reduction="none"))
    torch.testing.assert_close(rows.spread_C, -x.log_softmax(1).mean(1), rtol=1e-5, atol=1e-4)
    (wanted,) = torch.autograd.grad(F.cross_entropy(x, target, reduction="sum", label_smoothing=0.1), x)
    torch.testing.assert_close(z, wanted.to(dtype))
    torch.testing.assert_close(d_bias, 1 + wanted.sum(0))


@needs_compiler
def test_a_row_that_is_no_number_says_so_and_spares_the_others() -> None:
    z = torch.zeros(2, 20)
    z[0, 3] = torch.nan
    rows = softmax_rows(z, torch.zeros(20), torch.tensor([1, 1]), torch.zeros(20), smoothing=0.0)
    assert rows.nll_C[0].isnan()
    assert rows.nll_C[1].isfinite()
    assert z[1].isfinite().all()
