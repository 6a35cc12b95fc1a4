"""What an answer must hold and must not hold, against the list of all answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from search_tables import BOS, EOS, NO_PENALTY, WU, Fixed, Table, brute_force, limits, sentences

from s2s.search import Limits, beam, greedy

LONGEST = 4  # of two words: 31 answers
Words = list[int]


def holds(tokens: Words, phrase: Words) -> bool:
    return any(tokens[i : i + len(phrase)] == phrase for i in range(len(tokens) - len(phrase) + 1))


def repeats(tokens: Words, size: int) -> bool:
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(set(grams)) < len(grams)


CASES: list[tuple[dict[str, object], Callable[[Words], bool]]] = [
    ({"shortest": [3]}, lambda tokens: len(tokens) >= 3),
    ({"no_repeat": 1}, lambda tokens: not repeats(tokens, 1)),
    ({"no_repeat": 2}, lambda tokens: not repeats(tokens, 2)),
    ({"no_repeat": 3}, lambda tokens: not repeats(tokens, 3)),
    ({"prefixes": [[4, 3]]}, lambda tokens: tokens[:2] == [4, 3]),
    ({"prefixes": [[4, 4]], "no_repeat": 1}, lambda tokens: tokens in ([4, 4], [4, 4, 3])),
    ({"banned": [[[4]]]}, lambda tokens: 4 not in tokens),
    ({"banned": [[[3, 4], [4, 4, 3]]]}, lambda tokens: not holds(tokens, [3, 4]) and not holds(tokens, [4, 4, 3])),
    ({"required": [[[4, 3]]]}, lambda tokens: holds(tokens, [4, 3])),
    ({"required": [[[4], [3, 3]]]}, lambda tokens: holds(tokens, [4]) and holds(tokens, [3, 3])),
    ({"required": [[[3, 4, 4]]], "banned": [[[3, 3]]]}, lambda t: holds(t, [3, 4, 4]) and not holds(t, [3, 3])),
    ({"prefixes": [[3]], "required": [[[4, 4]]]}, lambda tokens: tokens[:1] == [3] and holds(tokens, [4, 4])),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("changes", "allowed"), CASES, ids=[str(changes) for changes, _ in CASES])
def test_a_beam_that_is_wide_enough_finds_all_that_is_allowed(
    changes: dict[str, object], allowed: Callable[[Words], bool], seed: int
) -> None:
    model = Table(5, seed)
    expected = [(score, tokens) for score, tokens in brute_force(model, 0, LONGEST, 1.0) if allowed(tokens)]
    assert 0 < len(expected) < 31
    (found,) = beam(model, sentences(0), replace(limits(LONGEST), **changes), width=62, penalty=WU)  # type: ignore[arg-type]
    ended = [hypothesis for hypothesis in found if hypothesis.finished]
    assert [hypothesis.tokens for hypothesis in ended] == [tokens for _, tokens in expected]
    assert [hypothesis.score for hypothesis in ended] == pytest.approx([score for score, _ in expected], abs=1e-5)


phrases = st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=3), max_size=2)


@st.composite
def bounds(draw: st.DrawFn, count: int) -> Limits:
    """Limits of several sentences, each with its own."""
    longest = [draw(st.integers(0, 5)) for _ in range(count)]
    return replace(
        limits(*longest),
        shortest=[min(most, draw(st.integers(0, 3))) for most in longest],
        no_repeat=draw(st.integers(0, 3)),
        prefixes=[draw(st.lists(st.integers(3, 5), max_size=2)) for _ in longest],
        banned=[draw(phrases) for _ in longest],
    )


@given(seed=st.integers(0, 10_000), asked=bounds(3))
def test_greedy_and_a_beam_of_one_hold_the_same_limits(seed: int, asked: Limits) -> None:
    model, memory = Table(6, seed), sentences(0, 1, 2)
    one = greedy(model, memory, asked, penalty=WU)
    other = [found[0] for found in beam(model, memory, asked, width=1, penalty=WU)]
    for row, (left, right) in enumerate(zip(one, other, strict=True)):
        assert (left.tokens, left.finished) == (right.tokens, right.finished)
        assert left.score == pytest.approx(right.score, abs=1e-4)
        prefix = list(asked.prefixes[row])
        assert left.tokens[: len(prefix)] == prefix
        (alone,) = greedy(model, sentences(row), of_one(asked, row), penalty=WU)
        assert alone.tokens == left.tokens


def of_one(asked: Limits, row: int) -> Limits:
    lists = ("longest", "shortest", "prefixes", "banned", "required")
    return replace(asked, **{name: list(getattr(asked, name))[row : row + 1] for name in lists})


@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 5),
    longest=st.lists(st.integers(0, 7), min_size=2, max_size=2),
    required=st.lists(phrases, min_size=2, max_size=2),
)
def test_required_phrases_stand_in_every_answer(
    seed: int, width: int, longest: list[int], required: list[list[Words]]
) -> None:
    model, asked = Table(7, seed), replace(limits(*longest), required=required)
    together = beam(model, sentences(0, 1), asked, width=width, penalty=WU)
    for row, found in enumerate(together):
        assert 1 <= len(found) <= width
        assert len({tuple(one.tokens) for one in found}) == len(found)
        for hypothesis in found:
            assert all(holds(hypothesis.tokens, phrase) for phrase in required[row])
            assert len(hypothesis.tokens) <= max(longest[row], sum(map(len, required[row])))
        (alone,) = beam(model, sentences(row), of_one(asked, row), width=width, penalty=WU)
        assert [one.tokens for one in alone] == [one.tokens for one in found]


def test_an_unlikely_phrase_costs_an_answer_no_more_than_itself() -> None:
    model = Fixed([0.0, 0.0, 0.3, 0.6, 0.09, 0.01])
    asked = replace(limits(6), required=[[[4, 5]]])
    (found,) = beam(model, sentences(0), asked, width=8, penalty=NO_PENALTY)
    best = torch.tensor([0.09, 0.01, 0.3]).log().sum()
    assert found[0].tokens == [4, 5]
    assert found[0].log_probability == pytest.approx(float(best), abs=1e-5)


def test_a_sentence_of_which_nothing_is_left_ends_too_early() -> None:
    asked = replace(limits(5), shortest=[4], banned=[[[3], [4]]])
    for found in (
        greedy(Table(5), sentences(0), asked, penalty=WU),
        beam(Table(5), sentences(0), asked, width=3, penalty=WU)[0],
    ):
        assert [(one.tokens, one.finished) for one in found] == [([], True)]


def test_what_is_required_and_impossible_is_cut_off() -> None:
    asked = replace(limits(5), required=[[[3, 3]]], banned=[[[3, 3]]])
    (found,) = beam(Table(5), sentences(0), asked, width=3, penalty=WU)
    assert found
    assert not any(one.finished for one in found)


def test_a_rule_that_is_off_is_not_there() -> None:
    from s2s.search.limits import Rules
    from s2s.search.required import Required

    blank = replace(limits(5, 5), shortest=[0, 0], prefixes=[[], []], banned=[[], []], required=[[], []])
    rules = Rules.of(blank, torch.device("cpu"))
    assert rules.shortest_B is rules.prefix_BP is rules.banned_BPN is None
    assert Required.of(blank, torch.device("cpu")) is None


def test_standing_of_overlapping_phrases() -> None:
    """a b | a c after "a": two phrases are begun, but only one of them can go on, so three tokens are missing."""
    from s2s.search.required import Required

    required = Required.of(Limits(BOS, EOS, [9], required=[[[3, 4], [3, 5], [6]]]), torch.device("cpu"))
    assert required is not None
    for tokens, need in ([], 5), ([3], 4), ([3, 4], 3), ([3, 4, 3], 2), ([6], 4), ([3, 5, 6, 3, 4], 0), ([3, 3], 4):
        assert required.standing(torch.tensor([[tokens]], dtype=torch.int64)).need_BC.tolist() == [[need]], tokens


@pytest.mark.parametrize("size", [1, 2, 3])
def test_repeats_are_ruled_out_one_by_one(size: int) -> None:
    from s2s.search.limits import rule_out_repeats

    for tokens in itertools.product(range(3), repeat=4):
        log_p = torch.zeros(1, 3)
        rule_out_repeats(log_p, torch.tensor([tokens]), size)
        seen = {tokens[i : i + size] for i in range(len(tokens) - size + 1)}
        expected = [(*tokens[len(tokens) - size + 1 :], word) in seen for word in range(3)]
        assert log_p.isneginf()[0].tolist() == expected
