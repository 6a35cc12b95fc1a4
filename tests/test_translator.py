"""Text in, text out: order, blanks, n-best, threads, alignments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from translators import SOURCE, TARGET, made

from s2s.errors import UserError
from s2s.models import Seq2Seq
from s2s.text.vocab import BOS, PAD
from s2s.translator import Translation

TEXTS = ["abc", "", "hgfedcba", "a", "   ", "d d", "abc", "zzz", "\t", "efghabcdefgh", "b"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and lose much where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_as_many_answers_as_texts_in_their_order(beam: int, batch_size: int) -> None:
    translator = made()
    together = translator.translate(TEXTS, beam=beam, batch_size=batch_size)
    assert len(together) == len(TEXTS)
    for text, answers in zip(TEXTS, together, strict=True):
        assert len(answers) == 1
        (alone,) = translator.translate([text], beam=beam)
        assert answers[0].text == alone[0].text
        assert answers[0].score == pytest.approx(alone[0].score, abs=1e-5)
    assert len({answers[0].text for answers in together}) > 3


def test_blanks_give_blanks() -> None:
    translator = made()
    for blank in ("", " ", "\t \n", "\u3000"):
        assert translator.translate([blank], n_best=3) == [[Translation("", 0.0, 0.0, True)]]
    assert translator.translate([]) == []
    assert translator.translate(["", ""]) == [[Translation("", 0.0, 0.0, True)]] * 2


def test_n_best_widens_the_beam() -> None:
    translator = made()
    (answers,) = translator.translate(["abcd"], n_best=5, beam=2)
    assert len(answers) == 5
    assert len({answer.text for answer in answers}) == 5
    order = [(not answer.finished, -answer.score) for answer in answers]
    assert order == sorted(order)
    assert [answer.text for answer in translator.translate(["abcd"], n_best=2, beam=5)[0]] == [
        answer.text for answer in answers[:2]
    ]


def test_settings_come_from_the_run_unless_given() -> None:
    wide, narrow = made(beam=5, length_penalty=0.3), made(beam=1)
    assert wide.translate(["abcd"]) == narrow.translate(["abcd"], beam=5, length_penalty=0.3)
    assert wide.translate(["abcd"], length_penalty=0.0)[0][0].score == pytest.approx(
        wide.translate(["abcd"], length_penalty=0.0)[0][0].log_probability
    )


def test_lengths_are_limited() -> None:
    translator = made(max_ratio=0.5)
    model = translator.model
    with torch.no_grad():
        model.output.bias[2] = -50.0  # never ends by itself
    for beam in (1, 3):
        (answers,) = translator.translate(["abcd"], beam=beam)
        assert not answers[0].finished
        assert len(answers[0].text) == 12  # half of 4, plus 10
        assert len(translator.translate(["abcd"], beam=beam, max_length=3)[0][0].text) == 3


@pytest.mark.parametrize("wrong", [{"beam": 0}, {"beam": -3}, {"n_best": 0}, {"batch_size": 0}, {"max_length": 0}])
def test_numbers_below_one_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises((ValueError, UserError), match=f"{next(iter(wrong))}.* 1"):
        made().translate(["abc"], **wrong)


def test_eight_threads_get_the_answers_of_one() -> None:
    translator = made("bahdanau")
    wanted = translator.translate(TEXTS, beam=3, n_best=2), translator.translate(TEXTS[::-1], beam=1)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            (
                pool.submit(translator.translate, TEXTS, beam=3, n_best=2),
                pool.submit(translator.translate, TEXTS[::-1], beam=1),
            )
            for _ in range(8)
        ]
        for wide, narrow in jobs:
            assert wide.result() == wanted[0]
            assert narrow.result() == wanted[1]


@dataclass
class Recorder:
    """Stands before a model's encoder and remembers what it read."""

    model: Seq2Seq
    seen: list[list[int]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def encode(self, source_BS: torch.Tensor, lengths_B: torch.Tensor, *, extended: bool) -> Any:
        self.seen += [row[:length].tolist() for row, length in zip(source_BS, lengths_B.tolist(), strict=True)]
        assert all((row[length:] == PAD).all() for row, length in zip(source_BS, lengths_B.tolist(), strict=True))
        return self.model.encode(source_BS, lengths_B, extended=extended)


def test_reversed_sources_are_read_from_their_own_ends() -> None:
    recorder = Recorder(made().model, [])
    made(reverse=True, model=recorder).translate(["abc", "d"])  # type: ignore[arg-type]
    assert sorted(recorder.seen, key=len) == [SOURCE.encode("d"), SOURCE.encode("cba")]


# ---- alignments


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("preset", ["bahdanau", "luong", "joey"])
def test_rows_sum_to_one_and_columns_follow_the_source(preset: str, reverse: bool) -> None:
    translator = made(preset, reverse=reverse)
    found = translator.align("abcd", "vwx")
    assert found is not None
    assert found.source == ["a", "b", "c", "d"]
    assert found.target == ["v", "w", "x", "</s>"]
    assert all(math.isclose(sum(row), 1.0, abs_tol=1e-5) for row in found.weights)
    ids = SOURCE.encode("dcba" if reverse else "abcd")
    memory = translator.model.encode(torch.tensor([ids]), torch.tensor([4]))
    with torch.no_grad():
        _, weights, _ = translator.model.decoder(torch.tensor([[BOS, *TARGET.encode("vwx")]]), memory)
    expected = weights[0].flip(1) if reverse else weights[0]
    torch.testing.assert_close(torch.tensor(found.weights), expected)
    assert float((expected - expected.flip(1)).abs().max()) > 1e-3  # or the turn would not show


def test_the_models_own_answer_is_aligned_as_it_was_written() -> None:
    translator = made()
    found = translator.align("abc")
    assert found is not None
    written = translator.translate(["abc"], beam=1)[0][0].text
    assert "".join(TARGET.pieces(TARGET.encode(written))) == "".join(found.target[:-1])
    assert len(found.weights) == len(found.target)


def test_unknown_is_never_written() -> None:
    translator = made()
    with torch.no_grad():
        translator.model.output.bias[3] = 50.0
    for beam in (1, 3):
        for answer in translator.translate(["abc", "ca"], beam=beam, n_best=beam)[0]:
            assert "<unk>" not in answer.text


def test_nothing_to_align() -> None:
    assert made(None).align("abc", "vw") is None
    assert made().align("") is None
    (row,) = made().align("abc", "").weights  # type: ignore[union-attr]
    assert len(row) == 3
