"""Coverage in the additive score, its loss, and the context gate of the readout."""

from __future__ import annotations

import pytest
import torch
from test_decoder import BATCH, assert_forward_is_a_loop
from tiny import pairs, tiny_model
from torch import Tensor
from torch.nn import functional as F

from s2s.models import Attention, AttentionChoice, sequence_loss
from s2s.models.loss import coverage_loss
from s2s.models.readout import Gate, ReadoutLayer

GATES: tuple[Gate, ...] = ("none", "source", "target", "both")
ADDITIVE = [
    AttentionChoice("additive", *parts)
    for parts in (("previous", "none", "tanh"), ("previous", "context", "deep"), ("current", "none", "affine"),
                  ("current", "context", "tanh"), ("current", "attentional", "tanh"))
]  # fmt: skip


@pytest.mark.parametrize("core", ["lstm", "rwa"])
@pytest.mark.parametrize("choice", ADDITIVE, ids="-".join)
def test_coverage_in_the_decoder(choice: AttentionChoice, core: str) -> None:
    """One scan, or step by step, or one token at a time: the same."""
    assert_forward_is_a_loop(tiny_model(choice, core=core, coverage=True, layers=2))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("peeky", [False, True])
@pytest.mark.parametrize("preset", ["bahdanau", "luong", "joey"])
def test_context_gates_in_the_decoder(gate: Gate, preset: str, peeky: bool) -> None:
    assert_forward_is_a_loop(tiny_model(preset, gate=gate, peeky=peeky))


def test_coverage_by_hand() -> None:
    """v . tanh(W_q s + W_k h + w * sum of earlier weights), position by position."""
    torch.manual_seed(3)
    attention = Attention(3, 4, score="additive", coverage=True).double()
    query_BTQ, values_BSE = torch.randn(1, 3, 3).double(), torch.randn(1, 5, 4).double()
    _, weights_BTS = attention(query_BTQ, attention.keys(values_BSE), values_BSE, torch.ones(1, 5, dtype=torch.bool))
    seen_S = torch.zeros(5).double()
    for step in range(3):
        inner = attention.query(query_BTQ[0, step]) + attention.key(values_BSE[0])
        inner = inner + seen_S.unsqueeze(1) * attention.cover.weight[:, 0]
        expected_S = (torch.tanh(inner) @ attention.energy.weight[0]).softmax(0)
        torch.testing.assert_close(weights_BTS[0, step], expected_S)
        seen_S = seen_S + expected_S


def test_coverage_belongs_to_the_hypothesis() -> None:
    """Beams of one sentence differ in what they looked at, and keep it when they are reordered."""
    model = tiny_model("bahdanau", coverage=True)
    with torch.no_grad():
        memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
        _, state = model.step(torch.tensor([1, 1, 1]), model.begin(memory), memory)
        torch.testing.assert_close(state.coverage.sum(1), torch.ones(3).double())
        beams = model.reorder(state, torch.tensor([0, 0, 1, 1, 2, 2]))
        _, beams = model.step(torch.tensor([3, 4, 3, 4, 3, 4]), beams, memory)
        _, beams = model.step(torch.tensor([3, 4, 3, 4, 3, 4]), beams, memory)
        assert not torch.equal(beams.coverage[0], beams.coverage[1])
        order = torch.tensor([1, 0, 3, 2, 4, 4])
        wanted, _ = model.step(torch.tensor([5, 6, 5, 6, 5, 6]), beams, memory)
        got, _ = model.step(torch.tensor([6, 5, 6, 5, 5, 5]), model.reorder(beams, order), memory)
        torch.testing.assert_close(got, wanted[order])
        # The third sentence alone goes on as it did beside the others.
        row, beams_of = torch.tensor([2]), torch.tensor([4, 5])
        alone, _ = model.step(torch.tensor([5, 6]), model.reorder(beams, beams_of), model.select(memory, row))
        torch.testing.assert_close(alone, wanted[beams_of])


def test_coverage_of_a_score_that_is_not_additive() -> None:
    with pytest.raises(ValueError, match="additive score, got dot"):
        Attention(3, 3, score="dot", coverage=True)


def test_coverage_loss_by_hand() -> None:
    weights_BTS = torch.rand(2, 4, 3).double().softmax(-1)
    real_BT = torch.tensor([[True, True, True, True], [True, True, False, False]])
    expected = 0.0
    for row, length in enumerate((4, 2)):
        for t in range(length):
            for j in range(3):
                expected += min(float(weights_BTS[row, t, j]), float(weights_BTS[row, :t, j].sum()))
    assert float(coverage_loss(weights_BTS, real_BT)) == pytest.approx(expected)


@pytest.mark.parametrize("preset", ["luong", "bahdanau", None])
def test_coverage_loss_is_only_in_what_is_minimised(preset: str | None) -> None:
    model = tiny_model(preset)
    plain, with_coverage = (sequence_loss(model, BATCH, coverage=share) for share in (0.0, 0.7))
    assert torch.equal(plain.nll, with_coverage.nll)
    with torch.no_grad():
        _, weights_BTS, _ = model(BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)
        extra = 0.0 if weights_BTS is None else 0.7 * float(coverage_loss(weights_BTS, BATCH.target_out_BT != 0))
        assert float(with_coverage.total - plain.total) == pytest.approx(extra)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("kind", ["tanh", "deep"])
def test_the_gate_by_hand(gate: Gate, kind: str) -> None:
    torch.manual_seed(2)
    readout = ReadoutLayer(kind, (3, 4, 0), embedding_size=2, size=5, gate=gate).double()  # type: ignore[arg-type]
    c, s, e = (torch.randn(size).double() for size in (3, 4, 2))
    layer, rest = readout.layer, torch.cat([s, e]) if kind == "deep" else s
    assert layer is not None
    source, target = layer.weight[:, :3] @ c, layer.weight[:, 3:] @ rest + layer.bias
    expected = source + target
    if readout.gating is not None:
        z = torch.sigmoid(readout.gating.weight @ torch.cat([c, s, e]) + readout.gating.bias)
        expected = {
            "source": target + z * source,
            "target": z * target + source,
            "both": (1 - z) * target + z * source,
        }[gate]
    got = readout([part.view(1, 1, -1) for part in (c, s)], e.view(1, 1, -1))
    torch.testing.assert_close(got[0, 0], torch.tanh(expected))


@pytest.mark.parametrize(("kind", "sizes"), [("affine", (3, 4, 0)), ("tanh", (0, 4, 0))])
def test_a_gate_with_nothing_to_scale(kind: str, sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="context gate needs attention"):
        ReadoutLayer(kind, sizes, embedding_size=2, size=5, gate="both")  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", ["bahdanau", "joey"])
def test_gradcheck(preset: str) -> None:
    model = tiny_model(preset, hidden=2, coverage=True, gate="both")
    batch = pairs([[4, 5, 6], [3]], [[3, 5], [4]])
    chosen = {name: p for name, p in model.named_parameters() if "attention" in name or "readout" in name}
    assert {"decoder.attention.cover.weight", "decoder.readout.gating.weight"} <= set(chosen)

    def loss(*values: Tensor) -> Tensor:
        replaced = dict(zip(chosen, values, strict=True))
        arguments = (batch.source_BS, batch.source_lengths_B, batch.target_in_BT)
        features, weights, _ = torch.func.functional_call(model, replaced, arguments)
        real = batch.target_out_BT != 0
        nll = F.cross_entropy(model.output(features[real]), batch.target_out_BT[real])
        return nll + 0.3 * coverage_loss(weights, real)

    values = tuple(parameter.detach().clone().requires_grad_() for parameter in chosen.values())
    assert torch.autograd.gradcheck(loss, values, fast_mode=True, atol=1e-6)
