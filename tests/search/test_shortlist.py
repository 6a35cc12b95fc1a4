"""Which tokens a source makes likely, and a search among these alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from s2s.search import Candidates, Hypothesis, Limits
from s2s.search import lexical as model_1
from s2s.search.lexical import Lexicon, learn
from s2s.search.shortlist import COMMON, WHOLE

WORDS = 30


def corpus(pairs: int = 300) -> list[tuple[list[int], list[int]]]:
    """Source token w is 40 + w in the target, in any order, and each sentence holds a 99 besides."""
    rng = random.Random(1)
    found = []
    for _ in range(pairs):
        source = rng.sample(range(WORDS), rng.randint(1, 6))
        target = [40 + word for word in source] + [99]
        rng.shuffle(target)
        found.append((source, target))
    return found


def test_the_likeliest_is_what_a_token_means() -> None:
    lexicon = learn(corpus(), target_size=100)
    for word in range(WORDS):
        own = lexicon.source_K == word
        assert lexicon.target_K[own][0] == 40 + word
        assert lexicon.p_K[own][0] > 0.5
        assert (np.diff(lexicon.p_K[own]) <= 0).all()
    # What belongs to no source token in particular is no candidate of the first rank.
    assert 99 not in [lexicon.target_K[lexicon.source_K == word][0] for word in range(WORDS)]


def test_probabilities_of_a_source_token_add_up_to_one() -> None:
    lexicon = learn(corpus(40), target_size=100)
    assert np.bincount(lexicon.source_K, lexicon.p_K)[np.unique(lexicon.source_K)] == pytest.approx(1.0)


def test_no_pairs_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(learn([], target_size=5).p_K) == 0
    monkeypatch.setattr(model_1, "ENTRIES", 50)
    assert 0 < len(learn(corpus(), target_size=100).p_K) < 50


def candidates(size: int = 1000) -> Candidates:
    lexicon = Lexicon(np.array([0, 0, 0, 7]), np.array([900, 800, 700, 5]), np.array([0.5, 0.3, 0.2, 1.0]))
    return Candidates.of(lexicon, [size - token for token in range(size)], source_size=9)


LIMITS = Limits(
    bos=2,
    eos=3,
    longest=[5],
    forbidden=[0, 2, 999],
    prefixes=[[650]],
    banned=[[[660, 661]]],
    required=[[[670]]],
)


def test_what_a_list_holds() -> None:
    short = candidates().shortlist([[0, 8]], 2, LIMITS)
    tokens = short.token_X.tolist()
    assert tokens == sorted(set(tokens))
    assert len(tokens) % WHOLE == 0
    assert {900, 800, 2, 3, 650, 660, 661, 670, *range(COMMON)} <= set(tokens)
    assert 700 not in tokens  # the third of the first token


def test_limits_and_answers_there_and_back() -> None:
    short = candidates().shortlist([[0]], 1, LIMITS)
    within = short.limits(LIMITS)
    tokens = short.token_X
    assert [int(tokens[place]) for place in (within.bos, within.eos)] == [2, 3]
    assert [int(tokens[place]) for place in within.forbidden] == [0, 2]  # 999 is not there, so it is not written anyway
    assert [int(tokens[place]) for place in within.banned[0][0]] == [660, 661]
    found = Hypothesis([*within.prefixes[0], *within.required[0][0]], -1.0, -2.0, True)
    assert short.tokens(found) == Hypothesis([650, 670], -1.0, -2.0, True)


def test_a_small_vocabulary_is_listed_whole() -> None:
    short = candidates(100)._replace(likely_VN=torch.full((9, 3), -1))
    limits = Limits(bos=2, eos=3, longest=[5])
    assert short.shortlist([[0]], 1, limits).token_X.tolist() == list(range(100))
