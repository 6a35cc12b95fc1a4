"""Sampling, diverse groups, ensembles and token scores."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from search_tables import BOS, EOS, NO_PENALTY, WU, Fixed, Table, limits, log_p, sentences

from s2s.search import Ensemble, Sampling, beam, coverage, greedy, sample
from s2s.search.sampling import draw

P = [0.0, 0.0, 0.1, 0.5, 0.3, 0.1]
GRID = (torch.arange(1_000) + 0.5) / 1_000
PLAIN = Sampling(1.0, 0, 1.0, 1)


def shares(sampling: Sampling, probabilities: list[float] = P) -> list[float]:
    """How often each token is drawn by evenly spaced numbers."""
    log_p_BKV = torch.tensor(probabilities).log().expand(1, len(GRID), -1)
    counts = Counter(draw(log_p_BKV, GRID.unsqueeze(0), sampling)[0].tolist())
    return [counts[token] / len(GRID) for token in range(len(probabilities))]


def test_tokens_are_drawn_by_their_probability() -> None:
    assert shares(PLAIN) == pytest.approx(P, abs=2e-3)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 2.0])
def test_temperature_is_an_exponent(temperature: float) -> None:
    powers = [p ** (1 / temperature) if p else 0.0 for p in P]
    expected = [p / sum(powers) for p in powers]
    assert shares(replace(PLAIN, temperature=temperature)) == pytest.approx(expected, abs=2e-3)


def test_the_likeliest_alone_are_drawn_from() -> None:
    assert shares(replace(PLAIN, top_k=2)) == pytest.approx([0, 0, 0, 0.625, 0.375, 0], abs=2e-3)
    assert shares(replace(PLAIN, top_k=99)) == pytest.approx(P, abs=2e-3)
    assert shares(replace(PLAIN, top_p=0.5)) == [0, 0, 0, 1, 0, 0]
    assert shares(replace(PLAIN, top_p=0.51)) == pytest.approx([0, 0, 0, 0.625, 0.375, 0], abs=2e-3)
    assert shares(replace(PLAIN, top_p=1e-9)) == [0, 0, 0, 1, 0, 0]
    assert shares(replace(PLAIN, top_k=2, top_p=0.6)) == [0, 0, 0, 1, 0, 0]  # 0.625 of what top_k leaves


@given(seed=st.integers(0, 10_000), highest=st.booleans())
def test_the_impossible_is_never_drawn(seed: int, highest: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_p_BKV = torch.randn(2, 3, 50, generator=generator).log_softmax(-1)
    log_p_BKV[torch.rand(2, 3, 50, generator=generator) < 0.8] = -torch.inf
    log_p_BKV[:, :, 7] = -3.0
    numbers = torch.full((2, 3), 1.0 - 2.0**-24 if highest else 0.0)
    for sampling in (PLAIN, replace(PLAIN, top_p=0.9), replace(PLAIN, top_k=30)):
        tokens = draw(log_p_BKV, numbers, sampling)
        assert not log_p_BKV.gather(2, tokens.unsqueeze(2)).isneginf().any()


def test_one_of_the_likeliest_is_greedy() -> None:
    model, memory, bounds = Table(7, 3), sentences(0, 1, 2), limits(5, 2, 6)
    (wanted,) = [[(one.tokens, one.finished) for one in greedy(model, memory, bounds, penalty=WU)]]
    found = sample(model, memory, bounds, sampling=replace(PLAIN, top_k=1), count=2, penalty=WU)
    assert [[(one.tokens, one.finished) for one in own] for own in found] == [[one, one] for one in wanted]


@given(seed=st.integers(0, 1_000), count=st.integers(1, 4))
def test_a_sentence_draws_the_same_alone_and_in_a_batch(seed: int, count: int) -> None:
    model, sampling = Table(6, seed), replace(PLAIN, seed=seed)
    together = sample(model, sentences(0, 1, 2), limits(4, 0, 6), sampling=sampling, count=count, penalty=WU)
    for row, most in enumerate((4, 0, 6)):
        (alone,) = sample(
            model, sentences(row), limits(most), sampling=sampling, count=count, numbers=[row], penalty=WU
        )
        assert [one.tokens for one in alone] == [one.tokens for one in together[row]]
        more = sample(model, sentences(row), limits(most), sampling=sampling, count=6, numbers=[row], penalty=WU)
        assert [one.tokens for one in more[0][:count]] == [one.tokens for one in alone]
        for one in alone:
            written = [*one.tokens, EOS] if one.finished else one.tokens
            assert len(one.tokens) <= most
            steps = [float(log_p(model, row, tuple(written[:i]))[token]) for i, token in enumerate(written)]
            assert one.token_scores == pytest.approx(steps, abs=1e-4)
            assert one.log_probability == pytest.approx(sum(steps), abs=1e-4)


def test_samples_differ_by_seed_sentence_and_place() -> None:
    model = Fixed([0.0, 0.0, 0.02, *[0.14] * 7])
    runs = [
        sample(model, sentences(0, 0), limits(30, 30), sampling=replace(PLAIN, seed=seed), count=3, penalty=WU)
        for seed in (1, 2)
    ]
    texts = [tuple(one.tokens) for run in runs for own in run for one in own]
    assert len(set(texts)) == len(texts) == 12


def test_many_samples_have_the_models_frequencies() -> None:
    (found,) = sample(Table(5, 2), sentences(0), limits(1), sampling=PLAIN, count=4_000, penalty=WU)
    counts = Counter(one.tokens[0] if one.tokens else EOS for one in found)
    wanted = log_p(Table(5, 2), 0, ()).exp()
    wanted[[0, BOS]] = 0.0
    wanted = wanted / wanted.sum()
    for token in (EOS, 3, 4):
        assert counts[token] / 4_000 == pytest.approx(float(wanted[token]), abs=0.03)


# ---- diverse groups


def by_lists(model: Table, longest: int, size: int, groups: int, strength: float) -> list[set[tuple[int, ...]]]:
    """The finished answers of each group by a search over lists."""
    beams: list[list[tuple[float, list[int]]]] = [[(0.0, [])] for _ in range(groups)]
    done: list[list[tuple[int, ...]]] = [[] for _ in range(groups)]
    for _ in range(longest + 1):
        used: Counter[int] = Counter()
        for group in range(groups):
            if len(done[group]) >= size:
                continue
            grown = [
                (total + float(gain), [*tokens, token])
                for total, tokens in beams[group]
                for token, gain in enumerate(log_p(model, 0, tuple(tokens)))
                if token not in (0, BOS)
            ]
            grown.sort(key=lambda item: -(item[0] - strength * used[item[1][-1]]))
            done[group] += [tuple(tokens[:-1]) for _, tokens in grown[:size] if tokens[-1] == EOS]
            beams[group] = [item for item in grown if item[1][-1] != EOS][:size]
            used.update(tokens[-1] for _, tokens in beams[group])
    return [set(own) for own in done]


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 3),
    groups=st.integers(1, 3),
    strength=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
)
def test_groups_are_the_search_over_lists(seed: int, size: int, groups: int, strength: float) -> None:
    model = Table(8, seed)
    (found,) = beam(model, sentences(0), limits(5), width=size * groups, penalty=WU, groups=groups, diversity=strength)
    expected = set().union(*by_lists(model, 5, size, groups, strength))
    assert {tuple(one.tokens) for one in found if one.finished} == expected
    for one in found:
        written = [*one.tokens, EOS] if one.finished else one.tokens
        steps = [float(log_p(model, 0, tuple(written[:i]))[token]) for i, token in enumerate(written)]
        assert one.log_probability == pytest.approx(sum(steps), abs=1e-4)  # without the term of diversity


def test_strong_groups_begin_with_different_words() -> None:
    model = Fixed([0.0, 0.0, 0.001, 0.6, 0.3, 0.099])
    (found,) = beam(model, sentences(0), limits(2), width=3, penalty=WU, groups=3, diversity=9.0)
    assert {one.tokens[0] for one in found} == {3, 4, 5}
    (alike,) = beam(model, sentences(0), limits(2), width=3, penalty=WU, groups=3, diversity=0.0)
    assert [one.tokens for one in alike] == [[3, 3]]


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="divide"):
        beam(Table(5), sentences(0), limits(2), width=3, penalty=WU, groups=2)
    asked = replace(limits(2), required=[[[3]]])
    with pytest.raises(ValueError, match="one group"):
        beam(Table(5), sentences(0), asked, width=2, penalty=WU, groups=2)


# ---- ensembles


def test_an_ensemble_averages_probabilities() -> None:
    models = Table(5, 0), Table(5, 1), Table(5, 2)
    together = Ensemble(models)
    (found,) = beam(together, (sentences(0),) * 3, limits(3), width=30, penalty=NO_PENALTY)
    scores = {}
    for length in range(4):
        for tokens in itertools.product((3, 4), repeat=length):
            written = (*tokens, EOS)
            steps = [
                math.log(sum(float(log_p(model, 0, tokens[:i])[token].exp()) for model in models) / 3)
                for i, token in enumerate(written)
            ]
            scores[tokens] = sum(steps)
    assert [tuple(one.tokens) for one in found] == sorted(scores, key=lambda tokens: -scores[tokens])
    assert [one.score for one in found] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)


@given(seed=st.integers(0, 1_000), width=st.integers(1, 4))
def test_an_ensemble_of_equals_is_one_of_them(seed: int, width: int) -> None:
    model, memory, bounds = Table(6, seed), sentences(0, 1, 2), limits(4, 1, 6)
    one = beam(model, memory, bounds, width=width, penalty=WU)
    two = beam(Ensemble([model, model]), (memory, memory), bounds, width=width, penalty=WU)
    assert [[h.tokens for h in own] for own in one] == [[h.tokens for h in own] for own in two]


# ---- scores of tokens


@given(seed=st.integers(0, 1_000), width=st.integers(1, 4))
def test_token_scores_add_up(seed: int, width: int) -> None:
    model = Table(6, seed)
    for groups in {1, width}:
        found = beam(
            model,
            sentences(0, 1),
            limits(4, 2),
            width=width,
            penalty=WU,
            groups=groups,
            diversity=1.0,
            token_scores=True,
        )
        for row, own in enumerate(found):
            for one in own:
                written = [*one.tokens, EOS] if one.finished else one.tokens
                steps = [float(log_p(model, row, tuple(written[:i]))[token]) for i, token in enumerate(written)]
                assert one.token_scores == pytest.approx(steps, abs=1e-4)
    assert all(one.token_scores is None for (one, *_) in beam(model, sentences(0), limits(2), width=2, penalty=WU))


def test_coverage_counts_what_was_not_looked_at() -> None:
    weights = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.15, 0.25]])
    assert coverage(weights, 0.5) == pytest.approx(0.5 * (math.log(0.25) + math.log(0.25)))
    assert coverage(torch.eye(3), 2.0) == 0.0
    assert math.isfinite(coverage(torch.zeros(2, 3), 1.0))
