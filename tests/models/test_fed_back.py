"""Training with attention fed back in one call: the numbers of the stepwise decoder, and which decoders it serves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_decoder import CHOICES
from tiny import SOURCES, TARGETS, pairs, tiny_model

from s2s.cores import GRU
from s2s.kernels import Backend
from s2s.kernels.compiled import build
from s2s.kernels.compiled import fed as compiled
from s2s.kernels.fused import fed as fused
from s2s.models import AttentionChoice, Memory, Seq2Seq, fed
from s2s.models.decoder import Decoded
from s2s.models.readout import Gate

BATCH = pairs(SOURCES, TARGETS)
JOEY = AttentionChoice("additive", "current", "attentional", "tanh")
FED = [
    choice for choice in CHOICES if choice.feed == "context" or (choice.feed == "attentional" and choice[3] != "affine")
]


def prepared(model: Seq2Seq) -> tuple[torch.Tensor, Memory]:
    memory = model.encode(BATCH.source_BS, BATCH.source_lengths_B)
    return model.decoder.embedding(BATCH.target_in_BT), memory


def engine_of(model: Seq2Seq) -> fused.Loops | None:
    return fed.loops(model.decoder, *prepared(model))


def with_gradients(model: Seq2Seq, way: Callable[[torch.Tensor, Memory, bool], Decoded]) -> list[torch.Tensor]:
    """What the decoder gives, and what a loss of all of that gives to every parameter."""
    embedded, memory = prepared(model)
    decoded = way(embedded, memory, True)
    given = [part for part in decoded if part is not None]
    loss = sum(
        (part.double() * torch.randn(part.shape, generator=seeded(i)).double()).sum() for i, part in enumerate(given)
    )
    grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [*(part.detach() for part in given), *(torch.zeros(1) if grad is None else grad for grad in grads)]


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def assert_one_call_is_the_steps(model: Seq2Seq) -> None:
    assert engine_of(model) is not None
    whole = with_gradients(model, model.decoder._fed)
    steps = with_gradients(model, model.decoder._stepwise)
    assert sum(bool(part.any()) for part in steps) > 10
    torch.testing.assert_close(whole, steps, rtol=1e-8, atol=1e-10)


def on(backend: Backend, model: Seq2Seq) -> Seq2Seq:
    model.decoder.stack.layers[0].backend = backend
    return model


@pytest.mark.parametrize("backend", ["auto", "fused"])
@pytest.mark.parametrize("peeky", [False, True])
@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("core", ["gru", "lstm"])
@pytest.mark.parametrize("choice", FED, ids="-".join)
def test_every_choice(choice: AttentionChoice, core: str, copy: bool, peeky: bool, backend: Backend) -> None:
    model = tiny_model(choice, core=core, copy=copy, peeky=peeky, bidirectional=True)
    assert_one_call_is_the_steps(on(backend, model.train()))


@pytest.mark.parametrize("gate", ["source", "target", "both"])
def test_a_gate_where_the_context_is_fed(gate: Gate) -> None:
    assert_one_call_is_the_steps(tiny_model("bahdanau", gate=gate).train())


def test_weights_are_given_where_they_are_asked_for() -> None:
    model = tiny_model("joey").train()
    embedded, memory = prepared(model)
    assert model.decoder._fed(embedded, memory, False).weights is None
    weights = model.decoder._fed(embedded, memory, True).weights
    assert weights is not None
    torch.testing.assert_close(weights.sum(2), torch.ones(weights.shape[:2]).double())


@pytest.mark.skipif(build.unavailable() is not None, reason="no C++ compiler here")
@pytest.mark.parametrize("core", ["gru", "lstm"])
@pytest.mark.parametrize("preset", ["joey", "bahdanau"])
def test_training_takes_the_compiled_loops(preset: str, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(preset, core=core).train()
    assert engine_of(model) is compiled.LOOPS
    taken = []
    decode = fed.decode
    monkeypatch.setattr(fed, "decode", lambda *parts: taken.append(parts[-1]) or decode(*parts))
    monkeypatch.setattr(model.decoder, "_stepwise", None)
    model(BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)
    assert taken == [compiled.LOOPS]


def test_the_engine_follows_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_of(on("fused", tiny_model("joey"))) is fused.PLAIN
    monkeypatch.setattr(compiled, "unavailable", lambda _: "there is no compiler")
    assert engine_of(on("auto", tiny_model("joey"))) is fused.PLAIN
    assert engine_of(on("compiled", tiny_model("joey"))) is None


@pytest.mark.parametrize("backend", ["reference", "native", "triton"])
def test_other_backends_go_step_by_step(backend: Backend) -> None:
    assert engine_of(on(backend, tiny_model("joey"))) is None


@pytest.mark.parametrize("core", ["elman", "rwa", "statistical"])
def test_other_cores_go_step_by_step(core: str) -> None:
    assert engine_of(tiny_model("joey", core=core).train()) is None


@pytest.mark.parametrize(
    "options", [{"layers": 2}, {"coverage": True}, {"gate": "both"}], ids=["layers", "coverage", "gate"]
)
def test_other_decoders_go_step_by_step(options: dict[str, object]) -> None:
    assert engine_of(tiny_model("joey").train()) is not None
    assert engine_of(tiny_model("joey", **options).train()) is None  # type: ignore[arg-type]


def test_an_affine_readout_that_is_fed_goes_step_by_step() -> None:
    assert engine_of(tiny_model(JOEY._replace(readout="affine")).train()) is None


def test_without_gradients_it_goes_step_by_step() -> None:
    with torch.no_grad():
        assert engine_of(tiny_model("joey")) is None


def test_a_layer_that_drops_weights_or_runs_in_segments_goes_step_by_step() -> None:
    model = tiny_model("joey").train()
    layer = model.decoder.stack.layers[0]
    layer.weight_drop = 0.5
    assert engine_of(model) is None
    layer.eval()
    assert engine_of(model) is not None
    layer.segment = 2
    assert engine_of(model) is None


def test_a_gru_with_the_reset_before_the_product_goes_step_by_step() -> None:
    model = tiny_model("joey").train()
    cell = model.decoder.stack.layers[0].cell
    model.decoder.stack.layers[0].cell = GRU(cell.input_size, cell.hidden_size, reset="before").double()
    assert engine_of(model) is None


def test_beams_that_share_a_source_go_step_by_step() -> None:
    model = tiny_model("joey").train()
    embedded, memory = prepared(model)
    assert fed.loops(model.decoder, embedded.repeat_interleave(2, 0), memory) is None


@pytest.mark.parametrize("core", ["gru", "lstm"])
@pytest.mark.parametrize("preset", ["joey", "bahdanau"])
def test_bfloat16_is_no_further_from_the_truth_than_the_steps(preset: str, core: str) -> None:
    """Under autocast, in norm; some gradients are sums that all but cancel, and coarse both ways."""
    model = tiny_model(preset, core=core, hidden=24, dtype=torch.float32).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.3
    exact = with_gradients(model, model.decoder._stepwise)
    results = []
    for way in (model.decoder._fed, model.decoder._stepwise):
        with torch.autocast("cpu", torch.bfloat16):
            results.append(with_gradients(model, way))
    for mine, steps, right in zip(*results, exact, strict=True):
        bound = 0.015 * float(right.norm()) + 1e-6
        assert float((mine - right).norm()) <= bound + 1.2 * float((steps - right).norm())
