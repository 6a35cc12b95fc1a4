"""The pointer-generator: one distribution, trained and searched as one."""

from __future__ import annotations

import math

import pytest
import torch
from test_decoder import assert_forward_is_a_loop
from tiny import CORES, VOCABULARY, pairs, tiny_model
from torch import Tensor

from s2s.models import PRESETS, Seq2Seq, sequence_loss
from s2s.models.decoder import Memory
from s2s.search import Ensemble, LengthPenalty, Limits, Sampling, beam, greedy, sample
from s2s.search.stepper import log_softmax

V = VOCABULARY
SOURCES = [[4, V, 6, V + 1, V], [6], [3, V, 5]]
"""7 and 8 are words that are in these sources and not in the vocabulary."""
TARGETS = [[V, 4, V + 1], [5, 6, 3, 4, 4], [V, 3]]
BATCH = pairs(SOURCES, TARGETS)
PENALTY = LengthPenalty("none", 1.0)


def direct(model: Seq2Seq) -> Tensor:
    """(B, T, V + S) probabilities by the formula of the paper, with nothing in logarithms."""
    features, weights, generate = model(BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)
    p_gen = torch.sigmoid(generate).unsqueeze(2)
    generated = p_gen * model.output(features).softmax(-1)
    copied = (1 - p_gen) * weights
    sentences, steps, positions = weights.shape
    total = torch.cat([generated, generated.new_zeros(sentences, steps, positions)], 2)
    one_hot = torch.nn.functional.one_hot(BATCH.source_BS, V + positions).to(total.dtype)
    return total + copied @ one_hot


def memory_of(model: Seq2Seq, sources: list[list[int]], *, extended: bool = False) -> Memory:
    batch = pairs(sources, [[] for _ in sources])
    with torch.no_grad():
        return model.encode(batch.source_BS, batch.source_lengths_B, extended=extended)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_gradient_of_the_mixture(preset: str, smoothing: float) -> None:
    model = tiny_model(preset, bidirectional=True, peeky=preset == "luong", copy=True)
    loss = sequence_loss(model, BATCH, smoothing=smoothing)
    ours = torch.autograd.grad(loss.total, list(model.parameters()), allow_unused=True)
    p_BTX = direct(model)
    real = BATCH.target_out_BT != 0
    nll = -p_BTX[real].gather(1, BATCH.target_out_BT[real].unsqueeze(1)).log().sum()
    features, _, generate = model(BATCH.source_BS, BATCH.source_lengths_B, BATCH.target_in_BT)
    generated = torch.sigmoid(generate[real]).unsqueeze(1) * model.output(features[real]).softmax(-1)
    wanted = (1 - smoothing) * nll - smoothing * generated.log().mean(1).sum()
    torch.testing.assert_close(loss.total, wanted)
    torch.testing.assert_close(loss.nll, nll)
    theirs = torch.autograd.grad(wanted, list(model.parameters()), allow_unused=True)
    for (name, _), left, right in zip(model.named_parameters(), ours, theirs, strict=True):
        assert left is not None, name
        torch.testing.assert_close(left, right, rtol=1e-7, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("core", CORES)
def test_step_by_step_equals_teacher_forcing(core: str, preset: str) -> None:
    """With two rows a sentence, as in a beam; and all probabilities of a step sum to one."""
    model = tiny_model(preset, core=core, layers=2, copy=True, coverage=preset == "bahdanau")
    with torch.no_grad():
        whole = direct(model)
        memory = memory_of(model, SOURCES)
        state = model.reorder(model.begin(memory), torch.tensor([0, 0, 1, 1, 2, 2]))
        for step, token_B in enumerate(BATCH.target_in_BT.unbind(1)):
            logits, state = model.step(token_B.repeat_interleave(2), state, memory)
            p_RX = log_softmax(logits).exp()
            torch.testing.assert_close(p_RX.sum(1), torch.ones(6).double())
            torch.testing.assert_close(p_RX[::2], whole[:, step])
            torch.testing.assert_close(p_RX[1::2], whole[:, step])
    assert float(whole[0, 0, V]) > 1e-3
    assert whole[1, :, V:].eq(0).all()  # its source has no such word


@pytest.mark.parametrize("preset", PRESETS)
def test_the_decoder_is_a_loop(preset: str) -> None:
    assert_forward_is_a_loop(tiny_model(preset, copy=True))


def test_nothing_to_copy_by() -> None:
    with pytest.raises(ValueError, match="copied by attention"):
        tiny_model(None, copy=True)


def test_without_copying_there_is_nothing_of_it() -> None:
    model = tiny_model("luong")
    assert not [name for name in model.state_dict() if "generate" in name]
    assert memory_of(model, [[4, 5]]).source.shape == (1, 0)
    assert model(*(torch.tensor([[4]]), torch.tensor([1]), torch.tensor([[1]]))).generate is None


@pytest.mark.parametrize("bias", [60.0, -60.0])
def test_one_part_has_all_probability(bias: float) -> None:
    """In single precision: a word that only the other part could have written costs much, and gradients stay finite."""
    model = tiny_model("luong", copy=True, dtype=torch.float32)
    with torch.no_grad():
        model.decoder.generate.bias.fill_(bias)
    loss = sequence_loss(model, BATCH, smoothing=0.1)
    loss.total.backward()
    assert 50 < float(loss.nll) < 2000
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_an_unknown_word_that_is_not_in_the_source() -> None:
    """It stays <unk>, which is generated like any word, and copied from nowhere."""
    model = tiny_model("luong", copy=True)
    loss = sequence_loss(model, pairs([[4, V]], [[3]]))
    p = direct_of(model, [4, V], [1, 3])
    assert float(loss.nll) == pytest.approx(-math.log(p[0, 3]) - math.log(p[1, 2]))


def direct_of(model: Seq2Seq, source: list[int], inputs: list[int]) -> Tensor:
    """(T, V + S) probabilities after the inputs, step by step."""
    memory = memory_of(model, [source])
    state, found = model.begin(memory), []
    with torch.no_grad():
        for token in inputs:
            logits, state = model.step(torch.tensor([token]), state, memory)
            found.append(log_softmax(logits)[0].exp())
    return torch.stack(found)


def test_words_of_its_own_may_be_copied_ones() -> None:
    model = tiny_model("luong", copy=True)
    with torch.no_grad():
        model.decoder.generate.bias.fill_(-20.0)
    memory = memory_of(model, SOURCES)
    own = model.own_words(BATCH.target_in_BT.repeat(1, 9)[:, :20], memory, share=1.0)
    assert set(own[0, 1:].tolist()) <= {4, 6, V, V + 1}
    assert V in own[0].tolist()
    sequence_loss(model, BATCH, sampling=0.5).total.backward()


def limits(sources: int) -> Limits:
    return Limits(bos=1, eos=2, longest=[6] * sources, forbidden=(0, 1, 3))


@pytest.mark.parametrize("others", [0, 1])
def test_what_searches_find_has_the_probability_that_they_say(others: int) -> None:
    """Beams, greedy and samples; alone, and together with a model that does not copy."""
    copying = tiny_model("bahdanau", copy=True)
    with torch.no_grad():
        copying.decoder.generate.bias.fill_(-2.0)
    models = [copying, *(tiny_model("luong", seed=5) for _ in range(others))]
    memories = tuple(memory_of(model, SOURCES, extended=True) for model in models)
    stepper = Ensemble(models) if others else copying
    memory = memories if others else memories[0]
    answers = beam(stepper, memory, limits(3), width=4, penalty=PENALTY)
    drawn = sample(stepper, memory, limits(3), sampling=Sampling(seed=3), count=4, penalty=PENALTY)
    for row, one in enumerate(greedy(stepper, memory, limits(3), penalty=PENALTY)):
        for found in [one, *answers[row], *drawn[row]]:
            written = [*found.tokens, 2] if found.finished else found.tokens
            inputs = torch.tensor([[1, *found.tokens][: len(written)]])
            mean = torch.zeros(len(written), V + 5).double()
            for model, part in zip(models, memories, strict=True):
                own = model.select(part, torch.tensor([row]))
                with torch.no_grad():
                    decoded = model.decode(inputs, own)
                    rows = type(decoded)(*(None if item is None else item[0] for item in decoded))
                    logits = model.logits(rows, own.source.expand(len(written), -1))
                mean += log_softmax(logits).exp() / len(models)
            total = sum(math.log(float(row_X[token])) for row_X, token in zip(mean, written, strict=True))
            assert found.log_probability == pytest.approx(total, abs=1e-5)
    assert any(token >= V for own in answers for one in own for token in one.tokens)


def test_beside_others_that_copy_unknown_words_read_as_unk() -> None:
    model = tiny_model("luong")
    plain, open_ = memory_of(model, [[4, 3, 5]]), memory_of(model, [[4, V, 5]], extended=True)
    torch.testing.assert_close(plain.values, open_.values)
    with torch.no_grad():
        known, _ = model.step(torch.tensor([3]), model.begin(plain), plain)
        extended, _ = model.step(torch.tensor([V]), model.begin(open_), open_)
    torch.testing.assert_close(extended[:, :V], known)
    assert extended[:, V:].isneginf().all()
