"""Greedy search with a step that is captured: what it writes is what is written step by step, with rows that leave."""

from __future__ import annotations

import logging

import pytest
import torch
from search_tables import BOS, EOS, Table, sentences
from test_greedy_at_once import PENALTY, Led, assert_equal, limits, lively, memory_of
from tiny import CORES

from s2s.kernels.steps import Way
from s2s.models import PRESETS
from s2s.search import Ensemble, greedy, walk
from s2s.search.straight import EAGER, LOOK, Play, cuda_graph, straight

ROOMS = [0, 1, 9, 4, 30]


class Recorder:
    """Plays a step by doing it again, as a graph would: what it did when captured is taken back."""

    def __init__(self) -> None:
        self.captured = self.played = 0

    def __call__(self, step: Play) -> Play:
        self.captured += 1

        def play() -> None:
            self.played += 1
            step()

        return play


def way_of(rooms: list[int]) -> Way:
    return Way(2, 3, rooms, torch.tensor([0, 1]))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("core", CORES)
def test_every_core_and_preset(core: str, preset: str) -> None:
    # In float64: which rows stand beside a row says in what order its sums are taken.
    model, capture = lively(preset, core).double(), Recorder()
    with torch.inference_mode():
        memory = memory_of(model, 8)
        expected = greedy(Led(model), memory, limits(8), penalty=PENALTY)
        found = straight(model, memory, way_of(list(limits(8).longest)), capture)
    tokens, gains = (part.tolist() for part in found)
    rooms = limits(8).longest
    assert_equal([walk._hypothesis(*one, 3, PENALTY) for one in zip(tokens, gains, rooms, strict=True)], expected)
    assert (capture.captured, capture.played) == (1, max(rooms) + 1 - EAGER)
    assert len({tuple(one.tokens) for one in expected}) > 2  # or the comparison would say little


def test_the_tensors_that_a_step_reads_are_those_it_writes() -> None:
    """Each step of a table knows all that was written: a state that were left behind would show."""
    model, memory = Table(30), sentences(0, 1, 2, 3, 4)
    tokens, gains = straight(model, memory, Way(BOS, EOS, ROOMS, torch.tensor([0, BOS])), Recorder())
    expected = greedy(model, memory, limits(5, longest=ROOMS, bos=BOS, eos=EOS, forbidden=(0, BOS)), penalty=PENALTY)
    rows = zip(tokens.tolist(), gains.tolist(), ROOMS, strict=True)
    assert_equal([walk._hypothesis(*row, EOS, PENALTY) for row in rows], expected, 1e-4)


def test_it_ends_soon_after_all_have_ended() -> None:
    model = lively()
    with torch.no_grad():
        model.output.bias[3] += 1e3  # the end is all that is written
    capture = Recorder()
    with torch.inference_mode():
        tokens, _ = straight(model, memory_of(model, 3), way_of([50, 50, 50]), capture)
    assert bool((tokens == 3).all())
    assert capture.played == LOOK - EAGER


def test_an_ensemble() -> None:
    members = [lively("luong"), lively("bahdanau")]
    with torch.inference_mode():
        memory = tuple(memory_of(model, 4) for model in members)
        expected = greedy(Ensemble(members), memory, limits(4), penalty=PENALTY)
        found = straight(Ensemble(members), memory, way_of(list(limits(4).longest)), Recorder())
    rows = zip(*(part.tolist() for part in found), limits(4).longest, strict=True)
    assert_equal([walk._hypothesis(*row, 3, PENALTY) for row in rows], expected, 1e-4)


def test_a_step_that_can_not_be_captured_is_done_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: Play) -> Play:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    model = lively()
    with torch.inference_mode(), caplog.at_level(logging.INFO, "s2s"):
        memory = memory_of(model, 4)
        found = straight(model, memory, way_of([9, 9, 9, 9]), refuse)
        expected = straight(model, memory, way_of([9, 9, 9, 9]))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert "(operation not permitted when stream is capturing)" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("preset", PRESETS)
def test_on_a_gpu_the_step_is_captured(preset: str) -> None:
    model, capture = lively(preset), Recorder()
    with torch.inference_mode():
        expected = greedy(Led(model), memory_of(model, 8), limits(8), penalty=PENALTY)
        source_BS = torch.randint(4, 203, (8, 7), generator=torch.Generator().manual_seed(1)).cuda()
        model = model.cuda()
        memory = model.encode(source_BS, (1 + torch.arange(8) % 7).cuda())

        def graph(step: Play) -> Play:
            return capture(cuda_graph(step))

        way = way_of(list(limits(8).longest))
        found = straight(model, memory, way._replace(forbidden=torch.tensor([0, 1]).cuda()), graph)
        assert_equal(greedy(model, memory, limits(8), penalty=PENALTY), expected, 1e-3)
    assert capture.captured == 1
    rows = zip(*(part.tolist() for part in found), limits(8).longest, strict=True)
    assert_equal([walk._hypothesis(*row, 3, PENALTY) for row in rows], expected, 1e-3)
