"""The predictor: poolings against torch, ragged rows, gradients, losses worked out by hand, small tasks learned."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from tiny import CORES, cell
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.cores import LSTM, Bidirectional, Keep, Recurrent, Stack, initialise
from s2s.models import Embedding, OneHot, Predictor, predictor_loss
from s2s.models.predictor import Pooling, PredictorLoss, kept, mark
from s2s.tasks import Adding, BinaryAddition, BitCount, Copy, Task
from s2s.tasks.batch import SeriesBatch, TaskSource

POOLINGS: tuple[Pooling, ...] = ("last", "state", "mean", "attention", "none")


class Answers(NamedTuple):
    inputs: Tensor
    lengths_B: Tensor
    targets: Tensor
    tokens: int


def make_stack(
    core: str = "lstm",
    inputs: int = 3,
    hidden: int = 4,
    *,
    layers: int = 1,
    both: bool = False,
    residual: bool = False,
    keep: Keep = "all",
) -> Stack:
    made: list[Recurrent | Bidirectional] = []
    for index in range(layers):
        width = made[-1].output_size if made else inputs
        top: Keep = keep if index == layers - 1 else "all"
        forward = Recurrent(cell(core, width, hidden), keep=top)
        backward = Recurrent(cell(core, width, hidden), keep=top, reverse=True)
        made.append(Bidirectional(forward, backward) if both else forward)
    return Stack(made, residual=residual)


def make_model(
    pooling: Pooling,
    core: str = "lstm",
    *,
    outputs: int = 2,
    layers: int = 1,
    both: bool = False,
    residual: bool = False,
) -> Predictor:
    torch.manual_seed(3)
    keep = kept(pooling, bidirectional=both, residual=residual)
    stack = make_stack(core, layers=layers, both=both, residual=residual, keep=keep)
    return Predictor(nn.Identity(), stack, outputs=outputs, pooling=pooling)


def ragged_batch(lengths: list[int], *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(len(lengths), max(lengths), 3, dtype=dtype), torch.tensor(lengths)


# ---- what is computed ----


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_equals_torch(pooling: Pooling, both: bool) -> None:
    """torch's own two-layer LSTM row by row, and a linear layer."""
    model = make_model(pooling, layers=2, both=both).double()
    native = nn.LSTM(3, 4, num_layers=2, bidirectional=both, batch_first=True).double()
    for index, layer in enumerate(model.stack.layers):
        halves = (layer.forwards, layer.backwards) if isinstance(layer, Bidirectional) else (layer,)
        for half, suffix in zip(halves, ("", "_reverse"), strict=False):
            for name, weight in half.cell.named_parameters():
                getattr(native, f"{name}_l{index}{suffix}").data.copy_(weight.data)
    if pooling == "attention":
        nn.init.normal_(model.query)
    lengths = [5, 1, 3]
    x_BTI, lengths_B = ragged_batch(lengths, dtype=torch.float64)
    found = model(x_BTI, lengths_B)
    for row, length in enumerate(lengths):
        h_T, (last, _) = native(x_BTI[row : row + 1, :length])
        h_T = h_T[0]
        pooled = {
            "last": lambda h=h_T: h[-1],
            "state": lambda last=last: last[-2:, 0].flatten() if both else last[-1, 0],
            "mean": lambda h=h_T: h.mean(0),
            "attention": lambda h=h_T: (h @ model.query).softmax(0) @ h,
            "none": lambda h=h_T: h,
        }[pooling]()
        expected = F.linear(pooled, model.output.weight, model.output.bias)
        got = found.outputs[row, :length] if pooling == "none" else found.outputs[row]
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
        if found.weights_BT is not None:
            torch.testing.assert_close(found.weights_BT[row, :length], (h_T @ model.query).softmax(0))
            assert found.weights_BT[row, length:].abs().max() < 1e-9 if length < 5 else True
    assert (found.weights_BT is not None) == (pooling == "attention")


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling: Pooling, core: str, residual: bool) -> None:
    model = make_model(pooling, core, layers=2, residual=residual).double()
    x_BTI, lengths_B = ragged_batch([4, 6, 1], dtype=torch.float64)
    found = model(x_BTI, lengths_B).outputs
    for row, length in enumerate(lengths_B.tolist()):
        alone = model(x_BTI[row : row + 1, :length], lengths_B[row : row + 1]).outputs[0]
        torch.testing.assert_close(found[row, :length] if pooling == "none" else found[row], alone)
    noise = x_BTI.clone()
    noise[0, 4:], noise[2, 1:] = 1e6, -1e6
    again = model(noise, lengths_B).outputs
    torch.testing.assert_close(again, found)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("pooling", ["last", "state"])
def test_keeping_the_last_output_alone_changes_nothing(pooling: Pooling, core: str) -> None:
    every = make_model("none", core).double()
    for keep in ("all", "last"):
        stack = make_stack(core, keep=keep).double()
        model = Predictor(nn.Identity(), stack, outputs=2, pooling=pooling).double()
        model.load_state_dict(every.state_dict())
        x_BTI, lengths_B = ragged_batch([4, 6, 1], dtype=torch.float64)
        found, all_steps = model(x_BTI, lengths_B).outputs, every(x_BTI, lengths_B).outputs
        expected = torch.stack([all_steps[row, length - 1] for row, length in enumerate(lengths_B.tolist())])
        torch.testing.assert_close(found, expected)


def test_what_a_pooling_needs_kept() -> None:
    plain = {pooling: kept(pooling, bidirectional=False, residual=False) for pooling in POOLINGS}
    assert plain == {"last": "last", "state": "last", "mean": "all", "attention": "all", "none": "all"}
    both = {pooling: kept(pooling, bidirectional=True, residual=False) for pooling in POOLINGS}
    assert both == {"last": "all", "state": "last", "mean": "all", "attention": "all", "none": "all"}
    assert {kept(pooling, bidirectional=False, residual=True) for pooling in POOLINGS} == {"all"}


@pytest.mark.parametrize(("pooling", "both"), [("mean", False), ("attention", False), ("none", False), ("last", True)])
def test_a_pooling_that_needs_more_than_is_kept(pooling: Pooling, both: bool) -> None:
    with pytest.raises(ValueError, match=f"pooling '{pooling}' reads every step"):
        Predictor(nn.Identity(), make_stack(both=both, keep="last"), outputs=1, pooling=pooling)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_rows_without_a_step(pooling: Pooling) -> None:
    model = make_model(pooling, "rwa")
    found = model(torch.full((2, 3, 3), math.nan), torch.tensor([0, 0])).outputs
    assert found.isfinite().all()
    zeros = model.output.bias.expand(2, -1)
    if pooling in ("mean", "attention"):
        torch.testing.assert_close(found, zeros)
    elif pooling != "none":
        rwa = model.stack.layers[0].cell
        torch.testing.assert_close(found, model.output(rwa.start.tanh().expand(2, -1)))


def test_readers() -> None:
    torch.manual_seed(1)
    ids_BT, lengths_B = torch.tensor([[1, 3, 2], [2, 0, 0]]), torch.tensor([3, 1])
    one_hot = OneHot(3).double()
    expected = [[[1, 0, 0], [0, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]]
    assert one_hot(ids_BT).tolist() == expected
    assert one_hot(ids_BT).dtype == torch.float64
    assert not one_hot.state_dict()
    for reader, width in ((OneHot(3), 3), (Embedding(4, 5), 5)):
        model = Predictor(reader, make_stack(inputs=width, keep="last"), outputs=2)
        assert model(ids_BT, lengths_B).outputs.shape == (2, 2)
    affine = Predictor(nn.Linear(1, 3), make_stack(keep="last"), outputs=2)
    x_BT1 = torch.randn(2, 3, 1)
    bare = Predictor(nn.Identity(), affine.stack, outputs=2)
    bare.output = affine.output
    through = x_BT1 * affine.reader.weight[:, 0] + affine.reader.bias
    torch.testing.assert_close(affine(x_BT1, lengths_B).outputs, bare(through, lengths_B).outputs)


def test_attention_begins_as_the_mean() -> None:
    attending, mean = make_model("attention"), make_model("mean")
    mean.load_state_dict({name: w for name, w in attending.state_dict().items() if name != "query"})
    x_BTI, lengths_B = ragged_batch([4, 6, 1])
    torch.testing.assert_close(attending(x_BTI, lengths_B).outputs, mean(x_BTI, lengths_B).outputs)
    attending(x_BTI, lengths_B).outputs.square().sum().backward()
    assert attending.query.grad is not None
    assert attending.query.grad.abs().max() > 0


def test_dropout_is_of_what_the_output_reads_in_training_alone() -> None:
    torch.manual_seed(0)
    model = Predictor(nn.Identity(), make_stack(keep="last"), outputs=2, dropout=0.5)
    x_BTI, lengths_B = ragged_batch([4, 6, 1])
    one, other = model(x_BTI, lengths_B).outputs, model(x_BTI, lengths_B).outputs
    assert not torch.equal(one, other)
    model.eval()
    assert torch.equal(model(x_BTI, lengths_B).outputs, model(x_BTI, lengths_B).outputs)


def test_the_schemes_of_initialisation_reach_its_cells() -> None:
    model = make_model("last")
    initialise(model, "normal", std=0.01, forget_bias=2.0)
    lstm = model.stack.layers[0].cell
    assert isinstance(lstm, LSTM)
    assert lstm.weight_ih.abs().max() < 0.06
    assert (lstm.bias_ih + lstm.bias_hh)[4:8].tolist() == pytest.approx([2.0] * 4)


# ---- gradients ----


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients(pooling: Pooling, loss: PredictorLoss) -> None:
    model = make_model(pooling, "rwa", outputs=3).double()
    x_BTI, lengths_B = ragged_batch([3, 2], dtype=torch.float64)
    x_BTI.requires_grad_()
    targets = torch.tensor([[0, 2, -1], [1, -1, -1]]) if pooling == "none" else torch.tensor([2, 1])

    def total(x: Tensor, *_: Tensor) -> Tensor:
        return predictor_loss(model, Answers(x, lengths_B, targets, 2), loss=loss).total

    assert torch.autograd.gradcheck(total, (x_BTI, *model.parameters()))


# ---- losses ----


def sums(
    outputs: Tensor, targets: Tensor, loss: PredictorLoss, tolerance: float = 0.0
) -> tuple[list[float], list[int]]:
    lengths_B = torch.tensor([3, 1]) if outputs.dim() == 3 else torch.tensor([1] * len(outputs))
    answers = Answers(torch.zeros(0), lengths_B, targets, 0)
    found = mark(outputs, answers, loss=loss, tolerance=tolerance)
    return [round(value, 5) for value in found.loss_B.tolist()], [*found.right_B.tolist(), *found.asked_B.tolist()]


def test_numbers() -> None:
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 5.0]]), torch.tensor([[1.5, 2.0], [0.0, 3.0]])
    assert sums(outputs, targets, "mse") == ([0.125, 2.0], [0, 0, 1, 1])
    assert sums(outputs, targets, "mse", tolerance=0.5) == ([0.125, 2.0], [1, 0, 1, 1])
    steps, wanted = (
        torch.tensor([[[1.0], [2.0], [3.0]]] * 2),
        torch.tensor([[[1.0], [4.0], [3.0]], [[3.0], [9.0], [9.0]]]),
    )
    assert sums(steps, wanted, "mse") == ([4.0, 4.0], [2, 0, 3, 1])
    with pytest.raises(ValueError, match="cross-entropy compares classes"):
        sums(outputs, targets, "cross_entropy")


def test_two_classes_by_one_logit() -> None:
    outputs, targets = torch.tensor([[0.0], [2.0], [-1.0]]), torch.tensor([0, 1, 1])
    p = [0.5, 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    nll = [-math.log(1 - p[0]), -math.log(p[1]), -math.log(p[2])]
    assert sums(outputs, targets, "cross_entropy")[0] == pytest.approx(nll, abs=1e-4)
    assert sums(outputs, targets, "mse")[0] == pytest.approx([0.25, (1 - p[1]) ** 2, (1 - p[2]) ** 2], abs=1e-4)
    assert sums(outputs, targets, "mse")[1] == [1, 1, 0, 1, 1, 1]


def test_more_classes_by_a_logit_each() -> None:
    outputs, targets = torch.tensor([[0.0, math.log(2), math.log(3)]] * 2), torch.tensor([2, 0])
    p = [1 / 6, 2 / 6, 3 / 6]
    assert sums(outputs, targets, "cross_entropy")[0] == pytest.approx([-math.log(p[2]), -math.log(p[0])], abs=1e-4)
    mse = [(p[0] ** 2 + p[1] ** 2 + (1 - p[2]) ** 2) / 3, ((1 - p[0]) ** 2 + p[1] ** 2 + p[2] ** 2) / 3]
    assert sums(outputs, targets, "mse")[0] == pytest.approx(mse, abs=1e-4)
    assert sums(outputs, targets, "mse")[1] == [1, 0, 1, 1]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_classes_at_each_step_where_they_are_asked(loss: PredictorLoss, outputs: int) -> None:
    torch.manual_seed(2)
    said = torch.randn(2, 3, outputs)
    targets = torch.tensor([[1, -1, 0], [0, -1, -1]])
    losses, counts = sums(said, targets, loss)
    flat = [(0, 0, 1), (0, 2, 0), (1, 0, 0)]
    alone = [sums(said[row, step].unsqueeze(0), torch.tensor([wanted]), loss) for row, step, wanted in flat]
    assert losses == pytest.approx([alone[0][0][0] + alone[1][0][0], alone[2][0][0]], abs=1e-4)
    assert counts == [alone[0][1][0] + alone[1][1][0], alone[2][1][0], 2, 1]


def test_the_sums_of_two_halves_are_those_of_the_whole() -> None:
    source = TaskSource(Copy(1, 3), range(10), 10, 1)
    torch.manual_seed(0)
    model = Predictor(OneHot(9), make_stack(inputs=9), outputs=8, pooling="none")
    parts = [
        predictor_loss(model, source.batch(rows, 0), loss="cross_entropy")
        for rows in (range(10), range(4), range(4, 10))
    ]
    for name in ("total", "nll"):
        whole, first, second = (float(getattr(part, name).detach()) for part in parts)
        assert whole == pytest.approx(first + second, rel=1e-5)
    assert parts[0].tokens == 10 * 23
    assert float(parts[0].nll) == parts[0].total.item()
    assert not parts[0].nll.requires_grad


def test_half_precision_is_summed_in_float32() -> None:
    source = TaskSource(Copy(1, 3), range(10), 10, 1)
    model = Predictor(OneHot(9), make_stack(inputs=9), outputs=8, pooling="none")
    batch = source.batch(range(10), 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = predictor_loss(model, batch, loss="cross_entropy")
    assert loss.total.dtype == torch.float32
    assert float(loss.nll) == pytest.approx(float(predictor_loss(model, batch, loss="cross_entropy").nll), rel=0.02)


# ---- learning ----


def learn(model: Predictor, task: Task, *, updates: int, rate: float, size: int, loss: PredictorLoss) -> SeriesBatch:
    """Train with Adam as the loop does, by the mean over answers; the validation batch."""
    source = TaskSource(task, task.splits.train, size, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    done, epoch = 0, 0
    while done < updates:
        for rows in source.plan(epoch)[: updates - done]:
            batch = source.batch(rows, epoch)
            found = predictor_loss(model, batch, loss=loss)
            optimizer.zero_grad()
            (found.total / found.tokens).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done += 1
        epoch += 1
    return source.batch(task.splits.valid[:512], 0)


def test_counting_bits_is_learned() -> None:
    torch.manual_seed(1)
    task = BitCount(1)
    model = Predictor(nn.Linear(1, 8), make_stack(inputs=8, hidden=16, keep="last"), outputs=1)
    valid = learn(model, task, updates=500, rate=0.02, size=64, loss="mse")
    marks = mark(model(valid.inputs, valid.lengths_B).outputs, valid, loss="mse", tolerance=0.5)
    assert marks.right_B.sum() >= 0.95 * 128
    assert marks.loss_B.mean() < 0.15  # 2.5 is what the mean alone gets


def test_adding_two_of_twenty_numbers_is_learned() -> None:
    torch.manual_seed(1)
    task = Adding(1, length=20)
    model = Predictor(nn.Identity(), make_stack("gru", inputs=2, hidden=32, keep="last"), outputs=1)
    valid = learn(model, task, updates=500, rate=0.01, size=64, loss="mse")
    found = predictor_loss(model, valid, loss="mse")
    assert float(found.nll) / found.tokens < 0.01  # 0.167 is what the mean alone gets


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_binary_addition_is_learned_bit_by_bit(loss: PredictorLoss) -> None:
    torch.manual_seed(1)
    task = BinaryAddition(1)
    model = Predictor(nn.Identity(), make_stack("elman", inputs=2, hidden=16), outputs=1, pooling="none")
    valid = learn(model, task, updates=400, rate=0.02, size=32, loss=loss)
    marks = mark(model(valid.inputs, valid.lengths_B).outputs, valid, loss=loss)
    assert float((marks.right_B == marks.asked_B).double().mean()) > 0.98
