"""Search against brute force, on tables of probabilities and on real models."""

# B sentences, K beams, R rows, V vocabulary

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from search_tables import BOS, EOS, NO_PENALTY, WU, Fixed, Table, brute_force, limits, log_p, sentences
from tiny import CORES, SOURCES, pairs, tiny_model
from torch import Tensor

from s2s.models import PRESETS, Memory, Seq2Seq
from s2s.search import Hypothesis, LengthPenalty, beam, greedy


@pytest.mark.parametrize("exponent", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_beam_that_is_wide_enough_finds_everything(seed: int, exponent: float) -> None:
    model = Table(5, seed)  # two words: 1 + 2 + 4 + 8 sequences
    for sentence, found in enumerate(
        beam(model, sentences(0, 1), limits(3, 3), width=30, penalty=LengthPenalty("wu", exponent))
    ):
        expected = brute_force(model, sentence, 3, exponent)
        assert len(expected) == 15
        assert [hypothesis.tokens for hypothesis in found if hypothesis.finished] == [tokens for _, tokens in expected]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert len(found) == 15


@given(seed=st.integers(0, 10_000), count=st.integers(1, 4), longest=st.integers(0, 5), vocabulary=st.integers(4, 8))
def test_beam_of_width_one_is_greedy(seed: int, count: int, longest: int, vocabulary: int) -> None:
    model, memory = Table(vocabulary, seed), sentences(*range(count))
    bounds = limits(*(max(0, longest - sentence % 2) for sentence in range(count)))
    one = greedy(model, memory, bounds, penalty=LengthPenalty("wu", 0.7))
    (*other,) = (found[0] for found in beam(model, memory, bounds, width=1, penalty=LengthPenalty("wu", 0.7)))
    for left, right in zip(one, other, strict=True):
        assert left.tokens == right.tokens
        assert left.finished == right.finished
        assert left.log_probability == pytest.approx(right.log_probability, abs=1e-4)
        assert left.score == pytest.approx(right.score, abs=1e-4)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 6), longest=st.integers(0, 6), vocabulary=st.integers(4, 8))
def test_what_every_beam_search_gives(seed: int, width: int, longest: int, vocabulary: int) -> None:
    model, bounds = Table(vocabulary, seed), limits(longest, longest + 2, longest)
    together = beam(model, sentences(4, 5, 6), bounds, width=width, penalty=WU)
    for row, found in enumerate(together):
        (alone,) = beam(model, sentences(4 + row), limits(bounds.longest[row]), width=width, penalty=WU)
        assert_same(found, alone)  # sentences of a batch never mix, and those that leave take nothing along
        assert 1 <= len(found) <= width
        texts = [tuple(hypothesis.tokens) for hypothesis in found]
        assert len(set(texts)) == len(texts)
        order = [(not hypothesis.finished, -hypothesis.score) for hypothesis in found]
        assert order == sorted(order)
        for hypothesis in found:
            assert len(hypothesis.tokens) <= bounds.longest[row]
            assert not {0, BOS, EOS} & set(hypothesis.tokens)
            written = (*hypothesis.tokens, EOS) if hypothesis.finished else tuple(hypothesis.tokens)
            steps = (log_p(model, 4 + row, written[:i])[token] for i, token in enumerate(written))
            assert hypothesis.log_probability == pytest.approx(float(sum(steps)), abs=1e-4)
            length = len(hypothesis.tokens) + 1
            assert hypothesis.score == pytest.approx(hypothesis.log_probability / ((5 + length) / 6), abs=1e-4)


def by_lists(model: Table, sentence: int, longest: int, width: int) -> list[tuple[list[int], bool]]:
    """The same search with lists: grow all beams, store ends among the best `width` candidates, keep `width` others."""
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    done: list[tuple[bool, float, list[int]]] = []
    for length in range(longest + 1):
        grown = [
            (total + float(gain), [*tokens, token])
            for total, tokens in beams
            for token, gain in enumerate(log_p(model, sentence, tuple(tokens)))
            if token not in (0, BOS)
        ]
        grown.sort(key=lambda item: -item[0])
        divisor = (5 + length + 1) / 6
        ended = [(False, -total / divisor, tokens[:-1]) for total, tokens in grown[:width] if tokens[-1] == EOS]
        done += ended
        if len(done) >= width:
            break
        if length == longest:
            cut = [(True, -total / divisor, tokens) for total, tokens in beams]
            done += [item for item in cut if item[2] not in [tokens for _, _, tokens in ended]]
        beams = [item for item in grown if item[1][-1] != EOS][:width]
    return [(tokens, not cut) for cut, _, tokens in sorted(done)[:width]]


@given(seed=st.integers(0, 10_000), width=st.integers(1, 5), longest=st.integers(0, 6), vocabulary=st.integers(4, 8))
def test_beam_search_is_the_search_over_lists(seed: int, width: int, longest: int, vocabulary: int) -> None:
    model = Table(vocabulary, seed)
    (found,) = beam(model, sentences(3), limits(longest), width=width, penalty=WU)
    assert [(hypothesis.tokens, hypothesis.finished) for hypothesis in found] == by_lists(model, 3, longest, width)


def assert_same(left: list[Hypothesis], right: list[Hypothesis]) -> None:
    assert [(h.tokens, h.finished) for h in left] == [(h.tokens, h.finished) for h in right]
    assert [h.score for h in left] == pytest.approx([h.score for h in right], abs=1e-5)


def test_wider_is_never_worse_than_greedy_here_and_finds_more() -> None:
    model = Table(6, 3)
    (one,), (many,) = (beam(model, sentences(0), limits(8), width=width, penalty=NO_PENALTY) for width in (1, 8))
    assert many[0].log_probability >= one[0].log_probability
    assert len(many) == 8


def test_forbidden_tokens_are_never_written_however_likely() -> None:
    model = Fixed([0.5, 0.3, 0.05, 0.15])
    bounds = limits(3)
    assert greedy(model, sentences(0), bounds, penalty=WU)[0].tokens == [3, 3, 3]
    for hypothesis in beam(model, sentences(0), bounds, width=4, penalty=WU)[0]:
        assert set(hypothesis.tokens) <= {3}
    assert greedy(model, sentences(0), limits(2, forbidden=()), penalty=WU)[0].tokens == [0, 0]


def test_a_cut_off_hypothesis_says_so_and_counts_what_it_wrote() -> None:
    model = Fixed([0.0, 0.0, 0.001, 0.799, 0.2])
    (found,) = greedy(model, sentences(0), limits(4), penalty=WU)
    assert not found.finished
    assert found.tokens == [3] * 4
    assert found.log_probability == pytest.approx(4 * math.log(0.799), abs=1e-5)
    for hypothesis in beam(model, sentences(0), limits(4), width=2, penalty=WU)[0]:
        assert not hypothesis.finished
        expected = sum(math.log({3: 0.799, 4: 0.2}[token]) for token in hypothesis.tokens)
        assert hypothesis.log_probability == pytest.approx(expected, abs=1e-5)


def test_finished_ranks_before_cut_off() -> None:
    """Ending costs much here, so every cut-off hypothesis has the higher score."""
    model = Fixed([0.0, 0.0, 0.02, 0.98])
    found = beam(model, sentences(0), limits(2), width=2, penalty=NO_PENALTY)[0]
    assert [hypothesis.finished for hypothesis in found] == [True, True]
    found = beam(Fixed([0.0, 0.0, 0.15, 0.45, 0.4]), sentences(0), limits(1), width=3, penalty=NO_PENALTY)[0]
    assert [(hypothesis.tokens, hypothesis.finished) for hypothesis in found] == [
        ([], True),
        ([3], False),
        ([4], False),
    ]


def test_width_beyond_the_vocabulary() -> None:
    found = beam(Table(4, 1), sentences(0), limits(3), width=50, penalty=WU)[0]  # one word: [], [3], [3, 3], [3, 3, 3]
    assert sorted(hypothesis.tokens for hypothesis in found) == [[], [3], [3, 3], [3, 3, 3]]
    assert all(hypothesis.finished for hypothesis in found)


def test_only_the_end_may_be_written() -> None:
    for found in beam(Fixed([0.3, 0.3, 0.4]), sentences(0, 1), limits(5, 5), width=3, penalty=WU):
        assert [(hypothesis.tokens, hypothesis.finished) for hypothesis in found] == [([], True)]


def test_no_sentences() -> None:
    assert greedy(Table(5), sentences(), limits(), penalty=WU) == []
    assert beam(Table(5), sentences(), limits(), width=3, penalty=WU) == []


def test_the_penalty_is_wus() -> None:
    assert LengthPenalty("wu", 0.7).divisor(1) == 1.0
    assert LengthPenalty("wu", 1.0).divisor(7) == 2.0
    assert LengthPenalty("wu", 2.0).divisor(13) == 9.0
    assert LengthPenalty("wu", 0.0).divisor(13) == 1.0
    assert LengthPenalty("none", 2.0).divisor(13) == 1.0
    assert LengthPenalty("average", 1.0).divisor(13) == 13.0
    assert LengthPenalty("average", 0.5).divisor(9) == 3.0


def encode(model: Seq2Seq, sources: list[list[int]]) -> Memory:
    batch = pairs(sources, [[] for _ in sources])
    with torch.no_grad():
        return model.encode(batch.source_BS, batch.source_lengths_B)


@pytest.mark.parametrize("peeky", [False, True])
@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("core", CORES)
def test_real_models_keep_sentences_and_beams_apart(core: str, preset: str | None, peeky: bool) -> None:
    model = tiny_model(preset, core=core, layers=2, peeky=peeky)
    bounds = limits(9, 3, 6)
    together = beam(model, encode(model, SOURCES), bounds, width=4, penalty=WU)
    short = greedy(model, encode(model, SOURCES), bounds, penalty=WU)
    for row, source in enumerate(SOURCES):
        memory, own = encode(model, [source]), limits(bounds.longest[row])
        assert_same(together[row], beam(model, memory, own, width=4, penalty=WU)[0])
        assert_same([short[row]], greedy(model, memory, own, penalty=WU))
        for hypothesis in together[row]:
            written = [*hypothesis.tokens, EOS] if hypothesis.finished else hypothesis.tokens
            inputs = torch.tensor([[BOS, *hypothesis.tokens][: len(written)]])
            with torch.no_grad():
                features = model.decoder(inputs, memory).features
                logits = model.output(features)[0].log_softmax(-1)
            total = sum(float(row_V[token]) for row_V, token in zip(logits, written, strict=True))
            assert hypothesis.log_probability == pytest.approx(total, abs=1e-6)


def test_sentences_that_end_early_leave_the_batch() -> None:
    """The arithmetic shrinks: the rows that a step sees go down as sentences reach their limits."""
    seen: list[int] = []

    class Counting(Fixed):
        def step(self, token_R: Tensor, state: tuple[Tensor], memory: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
            seen.append(len(token_R))
            assert len(token_R) == 2 * len(memory[0]) == len(state[0])
            return super().step(token_R, state, memory)

    beam(Counting([0.0, 0.0, 1e-6, 0.6, 0.4]), sentences(0, 1, 2), limits(3, 1, 2), width=2, penalty=WU)
    assert seen == [6, 6, 4, 2]
