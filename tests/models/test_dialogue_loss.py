"""What a model of dialogues minimises, what its likelihoods are, and what its latent variable does."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_dialogue import DIALOGUES, batch_of, tiny_hred
from torch.distributions import Normal, kl_divergence

from s2s.corpus.dialogue.batch import DialogueBatch
from s2s.models import HRED, LatentSums, dialogue_loss, latent_sums, turn_scores
from s2s.models.latent import Gaussian, Latent

BATCH = batch_of(DIALOGUES)
TURNS = len(BATCH.words_RT)


def noise(size: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(TURNS, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def spoken(model: HRED, noise_RZ: torch.Tensor | None = None) -> Latent:
    found = model(BATCH.words_RT, BATCH.lengths_R, BATCH.counts_B, BATCH.inputs_RT, noise_RZ=noise_RZ).latent
    assert isinstance(found, Latent)
    return found


# ---- the loss


def test_the_divergence_is_that_of_normal_distributions() -> None:
    latent = spoken(tiny_hred(latent=3), noise(3))
    prior, posterior = (Normal(one.mean, one.variance.sqrt()) for one in (latent.prior, latent.posterior))
    torch.testing.assert_close(latent.kl_RZ, kl_divergence(posterior, prior))
    z = latent.z
    for one, expected in ((latent.prior, prior), (latent.posterior, posterior)):
        density = expected.log_prob(z).sum(1) + 1.5 * math.log(2 * math.pi)
        torch.testing.assert_close(one.log_density(z), density)
    torch.testing.assert_close(z, posterior.mean + posterior.stddev * noise(3))


def test_weight_and_free_bits() -> None:
    model = tiny_hred(latent=3)
    kl_RZ = spoken(model, noise(3)).kl_RZ.detach()
    for weight, free in ((1.0, 0.0), (0.3, 0.0), (1.0, 2.0), (0.5, 60.0)):
        loss = dialogue_loss(model, BATCH, kl_weight=weight, free_bits=free, noise_RZ=noise(3))
        counted = torch.maximum(kl_RZ, torch.tensor(free / 3)).sum()
        torch.testing.assert_close(loss.total.detach(), loss.nll + weight * counted)
        torch.testing.assert_close(loss.kl, kl_RZ.sum())  # what is reported is neither weighted nor free
    assert loss.loss == (loss.total, loss.nll, 26)


def test_what_is_free_pulls_nothing() -> None:
    """Far below its share of free bits, a posterior gets gradient from the words alone."""
    model = tiny_hred(latent=3)
    grads = []
    for weight, free in ((1.0, 1e6), (0.0, 0.0), (1.0, 0.0)):
        model.zero_grad()
        dialogue_loss(model, BATCH, kl_weight=weight, free_bits=free, noise_RZ=noise(3)).total.backward()
        assert model.latent is not None
        grads.append(torch.cat([p.grad.flatten() for p in model.latent.posterior.parameters() if p.grad is not None]))
    torch.testing.assert_close(grads[0], grads[1])
    assert not torch.allclose(grads[0], grads[2])


def test_the_whole_loss_is_differentiated_right() -> None:
    model = tiny_hred("luong", latent=2, bag=True)
    names = [
        "latent.posterior.mean.weight",
        "latent.prior.variance.bias",
        "context.layers.0.cell.weight_ih",
        "bag.bias",
    ]
    chosen = [model.get_parameter(name) for name in names]

    def total(*_: torch.Tensor) -> torch.Tensor:
        return dialogue_loss(model, BATCH, kl_weight=0.4, bag_of_words=0.5, noise_RZ=noise(2)).total

    assert torch.autograd.gradcheck(total, chosen, eps=1e-6, atol=1e-6)


def test_the_bag_of_words() -> None:
    model = tiny_hred(latent=2, bag=True)
    with_bag = dialogue_loss(model, BATCH, bag_of_words=0.5, noise_RZ=noise(2))
    without = dialogue_loss(model, BATCH, noise_RZ=noise(2))
    given_RD = model(*BATCH_TENSORS, noise_RZ=noise(2)).given
    assert model.bag is not None
    log_p_RV = model.bag(given_RD).log_softmax(1)
    turns = [turn for turns in DIALOGUES for turn in turns]
    expected = -sum(log_p_RV[row, word] for row, turn in enumerate(turns) for word in turn)
    torch.testing.assert_close(with_bag.bag, expected.detach())  # type: ignore[union-attr]
    torch.testing.assert_close(with_bag.total, without.total + 0.5 * expected)
    assert without.bag == 0
    with pytest.raises(ValueError, match="no layer for a bag of words"):
        dialogue_loss(tiny_hred(latent=2), BATCH, bag_of_words=0.5)


BATCH_TENSORS = BATCH.words_RT, BATCH.lengths_R, BATCH.counts_B, BATCH.inputs_RT


def test_smoothing_is_of_the_words_alone() -> None:
    model = tiny_hred(latent=2)
    plain, smooth = (dialogue_loss(model, BATCH, smoothing=share, noise_RZ=noise(2)) for share in (0.0, 0.2))
    assert torch.equal(plain.nll, smooth.nll)
    assert torch.equal(plain.kl, smooth.kl)
    assert float(smooth.total.detach()) != float(plain.total.detach())


def test_the_latent_variable_keeps_its_precision_under_autocast() -> None:
    model = tiny_hred(latent=3, dtype=torch.float32)
    exact = spoken(model, noise(3))
    with torch.autocast("cpu", torch.bfloat16):
        rough = spoken(model, noise(3))
        loss = dialogue_loss(model, BATCH, noise_RZ=noise(3))
    assert rough.kl_RZ.dtype == rough.z.dtype == loss.kl.dtype == torch.float32
    torch.testing.assert_close(rough.kl_RZ, exact.kl_RZ, rtol=0.2, atol=0.2)
    loss.total.backward()


# ---- likelihoods


def test_perplexity_comes_from_summed_losses() -> None:
    """Turn by turn, and with any cut of the dialogues into batches, the sums are those of the loss."""
    model = tiny_hred("luong")
    loss, scores = dialogue_loss(model, BATCH), turn_scores(model, BATCH)
    assert scores.nll.shape == (TURNS,)
    torch.testing.assert_close(scores.nll.sum(), loss.nll)
    assert torch.equal(scores.nll, scores.reconstruction)
    assert scores.kl.eq(0).all()
    alone = [turn_scores(model, batch_of([turns])) for turns in DIALOGUES]
    torch.testing.assert_close(torch.cat([one.nll for one in alone]), scores.nll)
    predicted = model.output(model(*BATCH_TENSORS).decoded.features).argmax(-1)
    right = (predicted == BATCH.words_RT) & (BATCH.words_RT != 0)
    assert scores.right.tolist() == right.sum(1).tolist()


def test_importance_sampling_finds_the_integral() -> None:
    model = tiny_hred(latent=1)
    assert model.latent is not None
    with torch.no_grad():  # a posterior that is nowhere far smaller than what it stands for
        for one in (model.latent.prior, model.latent.posterior):
            one.mean.weight *= 0.1
            one.variance.weight *= 0.1
        model.latent.posterior.variance.bias += 5.0
    grid_K = torch.linspace(-8, 8, 161, dtype=torch.float64)
    latent = spoken(model, noise(1))
    log_p_KR = []
    for place in grid_K:  # z = mean + place * deviation of the prior
        z_RZ = latent.prior.at(torch.full((TURNS, 1), float(place), dtype=torch.float64))
        log_p_KR.append(-turn_nll(model, z_RZ) - place.square() / 2 - 0.5 * math.log(2 * math.pi))
    exact_R = -(torch.stack(log_p_KR).logsumexp(0) + math.log(0.1))
    scores = turn_scores(model, BATCH, samples=300, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(scores.nll, exact_R, rtol=0.0, atol=0.2)
    bound_R = scores.reconstruction + scores.kl
    assert (bound_R > exact_R).all()  # what is minimised is a bound
    assert float((bound_R - exact_R).sum()) > 0.5


def turn_nll(model: HRED, z_RZ: torch.Tensor) -> torch.Tensor:
    heard = model.read(*BATCH_TENSORS[:3])
    with torch.no_grad():
        features = model.write(BATCH.inputs_RT, torch.cat([heard.context, z_RZ], 1), heard).features
        log_p = model.output(features).log_softmax(-1).gather(2, BATCH.words_RT.unsqueeze(2)).squeeze(2)
    return -(log_p * (BATCH.words_RT != 0)).sum(1)


def test_one_sample_is_the_bound_in_the_mean() -> None:
    model = tiny_hred(latent=2)
    draws = [turn_scores(model, BATCH, generator=torch.Generator().manual_seed(seed)) for seed in range(100)]
    single = torch.stack([one.nll for one in draws]).mean(0)
    bound = torch.stack([one.reconstruction + one.kl for one in draws]).mean(0)
    torch.testing.assert_close(single, bound, rtol=0.05, atol=0.3)
    again = turn_scores(model, BATCH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draws[0].nll, again.nll)  # a seed decides


def test_a_dialogue_of_a_thousand_turns() -> None:
    model = tiny_hred("luong", latent=2)
    batch = batch_of([[[4, 5], [6]] * 500, [[3]]])
    scores = turn_scores(model, batch)
    assert len(scores.nll) == 1_001
    assert scores.nll.isfinite().all()
    alone = turn_scores(model, batch_of([[[3]]]), samples=5).reconstruction
    torch.testing.assert_close(scores.reconstruction[-1:], alone, rtol=0.5, atol=1.0)


# ---- what the latent variable does


def gaussian(mean: torch.Tensor, variance: float) -> Gaussian:
    return Gaussian(mean, torch.full_like(mean, variance))


def test_active_units_are_those_that_move_against_their_prior() -> None:
    """The first unit moves with its prior, the second by itself, the third is shifted by the same for every turn."""
    torch.manual_seed(1)
    wander = torch.randn(400, 1)
    prior = gaussian(torch.cat([wander, torch.zeros(400, 2)], 1), 0.25)
    posterior = gaussian(torch.cat([wander, 0.1 * wander, torch.ones(400, 1)], 1), 0.2)
    latent = Latent(prior, posterior, posterior.mean)
    sums = latent_sums(latent)
    assert sums.active() == 1
    assert sums.active(threshold=0.05) == 0  # the variance is .04
    assert sums.variances() == pytest.approx((0.2, 0.25))
    assert sums.kl == pytest.approx(float(latent.kl_RZ.sum()), rel=1e-5)


def test_sums_of_batches_are_those_of_the_whole() -> None:
    latent = spoken(tiny_hred(latent=3), noise(3))
    whole = latent_sums(latent)
    parts = []
    for chunk in (slice(0, 3), slice(3, TURNS)):
        prior, posterior = (Gaussian(one.mean[chunk], one.variance[chunk]) for one in latent[:2])
        parts.append(latent_sums(Latent(prior, posterior, latent.z[chunk])))
    merged = parts[0].merged(parts[1])
    assert isinstance(merged, LatentSums)
    assert merged.turns == whole.turns == TURNS
    for one, other in zip(merged[1:], whole[1:], strict=True):
        torch.testing.assert_close(one, other)


def test_a_posterior_that_reads_nothing_has_no_active_units() -> None:
    model = tiny_hred(latent=3)
    assert model.latent is not None
    with torch.no_grad():
        for one in (model.latent.prior, model.latent.posterior):
            for layer in (one.mean, one.variance):
                layer.weight.zero_()
                layer.bias.zero_()
    scores = turn_scores(model, BATCH)
    assert scores.latent is not None
    assert latent_sums(scores.latent).active() == 0
    assert float(scores.kl.sum()) == 0.0


# ---- learning


def learned(model: HRED, batch: DialogueBatch, updates: int, *, rate: float, warmup: int = 0) -> None:
    torch.manual_seed(1)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for update in range(updates):
        weight = min(1.0, update / warmup) if warmup else 1.0
        optimizer.zero_grad()
        loss = dialogue_loss(model, batch, kl_weight=weight)
        (loss.total / loss.tokens).backward()
        optimizer.step()
    model.eval()


def test_a_toy_of_three_turns_is_learned() -> None:
    """The third turn repeats the first: only the context core knows it."""
    batch = batch_of([[[a], [c], [a, a]] for a in (3, 4, 5, 6) for c in (3, 6)])
    model = tiny_hred(cores=("gru", "lstm", "gru"), hidden=(12, 24, 24), scale=0.5, dtype=torch.float32)
    learned(model, batch, 120, rate=0.02)
    nll = turn_scores(model, batch).nll.view(-1, 3).mean(0)
    assert float(nll[0]) == pytest.approx(math.log(4), rel=0.1)  # nothing is known before the first turn
    assert float(nll[1]) == pytest.approx(math.log(2), rel=0.2)
    assert float(nll[2]) < 0.5  # a guess costs 1.39


def test_a_latent_variable_learns_what_the_context_leaves_open() -> None:
    """Four answers to the same: which of them is said is one choice a turn, not one a word."""
    batch = batch_of([[[4], [answer] * 5] for answer in (3, 4, 5, 6)] * 4)
    model = tiny_hred(hidden=(8, 12, 12), latent=4, scale=0.3, dtype=torch.float32, word_dropout=0.8)
    learned(model, batch, 120, rate=0.02, warmup=60)
    scores = turn_scores(model, batch, samples=30, generator=torch.Generator().manual_seed(1))
    assert scores.latent is not None
    assert latent_sums(scores.latent).active() >= 1
    first, second = scores.kl.view(-1, 2).mean(0).tolist()
    assert first < 0.3  # there is nothing to choose
    assert second > 0.5
    assert float(scores.nll.view(-1, 2)[:, 1].mean()) < 3.0  # log 4 are 1.39, and five guesses of a word 6.93
