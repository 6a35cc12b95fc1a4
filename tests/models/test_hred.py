"""HRED and VHRED: all turns at once against turn after turn, padding, conversations, search."""

from __future__ import annotations

import pytest
import torch
from tiny import CORES
from tiny_dialogue import DIALOGUES, batch_of, tiny_hred
from torch.nn import functional as F

from s2s.models import HRED, dialogue_loss
from s2s.models.decoder import Memory
from s2s.models.nested import rows
from s2s.search import Hypothesis, LengthPenalty, Limits, Sampling, beam, greedy, sample

BOS, EOS = 1, 2
TURNS = sum(len(turns) for turns in DIALOGUES)


def noise(model: HRED, count: int = TURNS) -> torch.Tensor:
    size = 0 if model.latent is None else model.latent.size
    return torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def stepped(model: HRED, memory: Memory, turn: list[int], *, ends: bool = True) -> torch.Tensor:
    """-log p of one turn, word after word."""
    state, nll = model.begin(memory), torch.zeros((), dtype=torch.float64)
    for word, after in zip([BOS, *turn], [*turn, *([EOS] if ends else [])], strict=False):
        logits, state = model.step(torch.tensor([word]), state, memory)
        nll = nll + F.cross_entropy(logits, torch.tensor([after]), reduction="sum")
    return nll


def flat_stream(model: HRED, noise_RZ: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Likelihood and divergence of all dialogues, one turn after the other, with nothing but steps."""
    nll = kl = torch.zeros((), dtype=torch.float64)
    row = 0
    for turns in DIALOGUES:
        history = model.history(*tensors([[]])[:3])
        for turn in turns:
            words, length = torch.tensor([[*turn, EOS]]), torch.tensor([len(turn) + 1])
            z = None
            if model.latent is not None:
                _, finals = model.encoder(words, length)
                code = model.encoder.stack.summaries(finals)[-1]
                latent = model.latent(history.context, code, noise_RZ[row : row + 1])
                kl, z = kl + latent.kl_RZ.sum(), latent.z
            given = history.context if z is None else torch.cat([history.context, z], 1)
            memory = model._memory(given, history.values, history.mask)
            nll = nll + stepped(model, memory, turn)
            history = model.hear(history, words, length)
            row += 1
    return nll, kl


def gradients(model: HRED) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


# ---- all turns at once


@pytest.mark.parametrize("latent", [0, 3])
@pytest.mark.parametrize(
    ("choice", "every"),
    [(None, True), (None, False), ("luong", True), ("bahdanau", False), ("joey", True), ("book", True)],
)
def test_all_turns_at_once_equal_the_flat_stream(choice: str | None, every: bool, latent: int) -> None:
    model = tiny_hred(choice, every=every, latent=latent, hidden=(4, 5, 8), layers=2, residual=True)
    noise_RZ = noise(model)
    loss = dialogue_loss(model, batch_of(DIALOGUES), kl_weight=0.7, noise_RZ=noise_RZ)
    loss.total.backward()
    together = gradients(model)
    model.zero_grad()
    nll, kl = flat_stream(model, noise_RZ)
    (nll + 0.7 * kl).backward()
    torch.testing.assert_close(loss.nll, nll.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loss.kl, kl.detach(), rtol=1e-10, atol=1e-12)
    assert (loss.tokens, loss.turns) == (26, TURNS)
    assert (float(loss.kl) > 0.1) == bool(latent)
    torch.testing.assert_close(together, gradients(model), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("core", CORES)
def test_any_core_in_each_place(core: str, place: int) -> None:
    cores = ["gru", "gru", "gru"]
    cores[place] = core
    model = tiny_hred(cores=(cores[0], cores[1], cores[2]), latent=2)
    noise_RZ = noise(model)
    loss = dialogue_loss(model, batch_of(DIALOGUES), noise_RZ=noise_RZ)
    nll, kl = flat_stream(model, noise_RZ)
    torch.testing.assert_close(loss.total.detach(), (nll + kl).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("choice", [None, "luong"])
def test_other_dialogues_and_padding_change_nothing(choice: str | None) -> None:
    model = tiny_hred(choice, latent=2)
    noise_RZ = noise(model)
    whole = dialogue_loss(model, batch_of(DIALOGUES), noise_RZ=noise_RZ)
    whole.total.backward()
    together = gradients(model)
    model.zero_grad()
    alone, row = [], 0
    for turns in DIALOGUES:
        alone.append(dialogue_loss(model, batch_of([turns]), noise_RZ=noise_RZ[row : row + len(turns)]))
        row += len(turns)
    sum(loss.total for loss in alone).backward()
    torch.testing.assert_close(whole.total, sum(loss.total for loss in alone), rtol=1e-10, atol=1e-12)
    assert whole.tokens == sum(loss.tokens for loss in alone)
    torch.testing.assert_close(together, gradients(model), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("choice", [None, "luong"])
def test_a_turn_knows_nothing_of_itself_or_of_what_follows(choice: str | None) -> None:
    """But for its own words up to the one that is predicted."""
    model = tiny_hred(choice)
    before = model(*tensors(DIALOGUES)).decoded.features
    changed = [[list(turn) for turn in turns] for turns in DIALOGUES]
    changed[0][2] = [6, 3, 3, 6]
    after = model(*tensors(changed)).decoded.features
    same = (before == after).all(-1)
    assert same[:2].all()  # turns before
    assert same[2, 0]  # the turn itself, before its first word is known
    assert not same[2, 1:].any()
    assert not same[3, :3].any()  # the turn after it
    assert same[4:].all()  # other dialogues


def tensors(dialogues: list[list[list[int]]]) -> tuple[torch.Tensor, ...]:
    batch = batch_of(dialogues)
    return batch.words_RT, batch.lengths_R, batch.counts_B, batch.inputs_RT


def test_conditioning_on_the_first_step_only() -> None:
    """The context seeds the decoder, and nothing else of it is read."""
    model = tiny_hred(every=False)
    memory = model.encode(*tensors(DIALOGUES)[:3])
    assert memory.context.shape == (3, 0)
    assert memory.values.shape == (3, 0, 0)
    expected = model.bridge.layers[0][0]  # type: ignore[index]
    context = model.history(*tensors(DIALOGUES)[:3]).context
    torch.testing.assert_close(memory.seeds[0][0], torch.tanh(expected(context)))
    assert model.decoder.stack.input_size == model.decoder.embedding.size


def test_a_bridge_that_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to copy"):
        tiny_hred(bridge="copy")


def test_words_are_dropped_for_the_decoder_one_by_one() -> None:
    model = tiny_hred(word_dropout=0.5, latent=2).train()
    seen: list[torch.Tensor] = []
    model.decoder.embedding.table.register_forward_hook(lambda _m, given, _o: seen.append(given[0]))
    heard: list[torch.Tensor] = []
    model.encoder.embedding.table.register_forward_hook(lambda _m, given, _o: heard.append(given[0]))
    dialogues = [[[4, 5, 6, 4, 5, 6, 4, 5]] * 6] * 6
    words, lengths, counts, inputs = tensors(dialogues)
    torch.manual_seed(3)
    model(words, lengths, counts, inputs)
    assert torch.equal(heard[0], words)  # the encoder, and so the posterior, reads whole turns
    lost = (seen[0] == 3) & (inputs > 3)
    assert 0.3 < float(lost.sum() / (inputs > 3).sum()) < 0.7
    assert not lost[:, 0].any()  # the begin mark stays
    columns, lines = lost[:, 1:].float().mean(0), lost[:, 1:].float().mean(1)
    assert ((columns > 0) & (columns < 1)).all()  # no whole step of the batch
    assert ((lines > 0) & (lines < 1)).all()


def test_the_models_own_words_as_inputs() -> None:
    model = tiny_hred("luong", latent=2)
    torch.manual_seed(1)
    batch = batch_of(DIALOGUES)
    own = dialogue_loss(model, batch, sampling=1.0, noise_RZ=noise(model))
    given = dialogue_loss(model, batch, noise_RZ=noise(model))
    assert own.total.isfinite()
    assert own.tokens == given.tokens
    assert not torch.equal(own.nll, given.nll)


# ---- conversations


@pytest.mark.parametrize("choice", [None, "luong"])
def test_a_conversation_goes_on_as_if_read_at_once(choice: str | None) -> None:
    model = tiny_hred(choice, cores=("lstm", "lstm", "gru"), layers=2, residual=True)
    three = [[[4, 5], [6]], [], [[3]]]
    more = [[5, 5, 4], [], [6]]
    words, lengths, _ = tensors([[turn] for turn in more])[:3]
    history = model.hear(model.history(*tensors(three)[:3]), words, lengths)
    for row, turns in enumerate([[*turns, turn] for turns, turn in zip(three, more, strict=True)]):
        said = turns[0] if turns[0] else [5]
        one = model.memory(rows(history, torch.tensor([row])))
        read = model.encode(*tensors([turns])[:3])
        torch.testing.assert_close(stepped(model, one, said), stepped(model, read, said), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("choice", [None, "luong"])
def test_the_first_turn_is_written_from_the_first_state(choice: str | None) -> None:
    model = tiny_hred(choice)
    memory = model.encode(*tensors([[], []])[:3])
    features = model(*tensors(DIALOGUES)).decoded.features
    logits, _ = model.step(torch.full((2,), BOS), model.begin(memory), memory)
    torch.testing.assert_close(logits[0], model.output(features[0, 0]))
    torch.testing.assert_close(logits[1], model.output(features[4, 0]))


# ---- search


HISTORIES = [[[4, 5, 6], [6]], [], [[3, 4, 4, 5], [5, 5], [6, 3]], [[6]]]
LONGEST = [5, 7, 6, 8]
NONE = LengthPenalty("none", 0.0)


def limits(longest: list[int]) -> Limits:
    return Limits(BOS, EOS, longest, forbidden=(0, BOS))


def searched(model: HRED, memory: Memory, longest: list[int]) -> list[list[Hypothesis]]:
    found = beam(model, memory, limits(longest), width=3, penalty=NONE)
    return [[one._replace(score=round(one.score, 9), log_probability=0.0) for one in many] for many in found]


@pytest.mark.parametrize("latent", [0, 3])
@pytest.mark.parametrize("choice", [None, "luong", "joey"])
def test_beams_of_several_conversations_equal_one_at_a_time(choice: str | None, latent: int) -> None:
    """Batch > 1 and beam > 1: states of the core, z, attention and context all follow their own hypothesis."""
    model = tiny_hred(choice, latent=latent, cores=("gru", "gru", "lstm"), scale=1.2)
    with torch.no_grad():
        model.output.bias[EOS] -= 1.0  # so that answers are not all short
    noise_BZ = noise(model, 4)
    together = searched(model, model.encode(*tensors(HISTORIES)[:3], noise_BZ=noise_BZ), LONGEST)
    assert len({tuple(one.tokens) for many in together for one in many}) > 6
    for row, turns in enumerate(HISTORIES):
        memory = model.encode(*tensors([turns])[:3], noise_BZ=noise_BZ[row : row + 1])
        assert searched(model, memory, LONGEST[row : row + 1]) == together[row : row + 1]
        for one in together[row]:
            nll = stepped(model, memory, one.tokens, ends=one.finished)
            assert float(-nll.detach()) == pytest.approx(one.score, abs=1e-5)


def test_one_z_a_turn_and_other_words_for_another() -> None:
    model = tiny_hred(latent=3)
    assert model.latent is not None
    with torch.no_grad():
        model.latent.prior.variance.bias += 40.0
    history = model.history(*tensors(HISTORIES[:1])[:3])
    six = rows(history, torch.zeros(6, dtype=torch.int64))
    torch.manual_seed(4)
    drawn = [one.tokens for one in greedy(model, model.memory(six), limits([8] * 6), penalty=NONE)]
    torch.manual_seed(4)
    again = [one.tokens for one in greedy(model, model.memory(six), limits([8] * 6), penalty=NONE)]
    still = greedy(model, model.memory(six, torch.zeros(6, 3)), limits([8] * 6), penalty=NONE)
    assert drawn == again
    assert len({tuple(tokens) for tokens in drawn}) > 1
    assert len({tuple(one.tokens) for one in still}) == 1
    memory = model.memory(history, torch.ones(1, 3))
    assert memory.context.shape == (1, 8)  # its hypotheses share the row, and so the z


def test_samples_of_a_conversation_do_not_depend_on_the_others() -> None:
    model = tiny_hred("luong", latent=2)
    noise_BZ, seed = noise(model, 4), Sampling(seed=7)
    memory = model.encode(*tensors(HISTORIES)[:3], noise_BZ=noise_BZ)
    together = sample(model, memory, limits(LONGEST), sampling=seed, count=2, penalty=NONE)
    for row in (0, 2):
        alone = model.select(memory, torch.tensor([row]))
        longest = limits(LONGEST[row : row + 1])
        found = sample(model, alone, longest, sampling=seed, count=2, penalty=NONE, numbers=[row])
        assert [one.tokens for one in found[0]] == [one.tokens for one in together[row]]
