"""Translators whose model copies: words that the vocabulary does not have, in answers, scores and constraints."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from tiny import tiny_model

from s2s.config.io import check
from s2s.corpus.batch import make_batch
from s2s.corpus.examples import encode_pairs
from s2s.corpus.formats import Pair
from s2s.models import sequence_loss
from s2s.scoring import align_pairs, score_pairs
from s2s.text.words import Words
from s2s.translator import Constraints, Translator

VERBS = {"ruft": "calls", "sucht": "seeks"}
TOKENIZER = Words.train(["ruft calls sucht seeks"])


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and lose much where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def name(rng: random.Random) -> str:
    return "".join(rng.choice("bdfgk") + rng.choice("aeiou") for _ in range(3))


def some(count: int, seed: int) -> list[Pair]:
    """`X ruft Y` is `Y calls X`; no name is in the vocabulary."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        one, other, verb = name(rng), name(rng), rng.choice([*VERBS])
        found.append(Pair(f"{one} {verb} {other}", f"{other} {VERBS[verb]} {one}"))
    return found


@cache
def trained(copy: bool, reverse: bool) -> Translator:
    torch.manual_seed(1)
    model = tiny_model(
        "bahdanau", hidden=16, bidirectional=True, copy=copy, vocabulary=len(TOKENIZER.vocabulary), dtype=torch.float32
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    examples = encode_pairs(some(1600, 1), TOKENIZER, TOKENIZER, extended=copy)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for start in range(0, len(examples), 16):
        batch = make_batch(examples[start : start + 16], range(16), reverse_source=reverse)
        optimizer.zero_grad()
        sequence_loss(model, batch).total.backward()
        optimizer.step()
    settings = {"text": {"shared": True}, "model": {"copying": copy, "reverse_source": reverse}}
    config = check(settings, "x")
    place = {"languages": ("de", "en"), "device": torch.device("cpu")}
    return Translator(model.eval(), TOKENIZER, TOKENIZER, config=config, name="run", **place)  # type: ignore[arg-type]


def right(translator: Translator, **options: int) -> float:
    pairs = some(40, 2)
    answers = translator.translate([pair.source for pair in pairs], **options)  # type: ignore[arg-type]
    return sum(found[0].text == pair.target for found, pair in zip(answers, pairs, strict=True)) / len(pairs)


@pytest.mark.parametrize("reverse", [False, True])
def test_words_that_nobody_knows_are_written(reverse: bool) -> None:
    """The task cannot be learned without copying, and is learned with it."""
    assert right(trained(True, reverse), beam=3) > 0.9
    assert right(trained(True, reverse), beam=1) > 0.9


def test_without_copying_they_are_not() -> None:
    assert right(trained(False, False), beam=3) == 0.0


def test_scores_pieces_and_alignments_are_of_the_words() -> None:
    translator = trained(True, False)
    pairs = some(5, 3)
    answers = translator.translate([pair.source for pair in pairs], beam=3, token_scores=True, alignments=True)
    scores = score_pairs(translator, [Pair(pair.source, own[0].text) for pair, own in zip(pairs, answers, strict=True)])
    for pair, (found,), score in zip(pairs, answers, scores, strict=True):
        assert found.pieces == found.text.split() == pair.target.split()
        assert found.alignment is not None
        assert found.alignment[::2] == [2, 0]
        assert score is not None
        assert score.tokens == [*found.pieces, "</s>"]
        assert score.token_scores == pytest.approx(found.token_scores, abs=1e-4)
    shown = translator.align(pairs[0].source)
    assert shown is not None
    assert shown.target == [*pairs[0].target.split(), "</s>"]
    assert {(0, 2), (2, 0)} <= set(align_pairs(translator, pairs[:1])[0])


def test_a_word_of_the_source_is_likelier_than_another_unknown_one() -> None:
    (there, elsewhere) = score_pairs(
        trained(True, False), [Pair("dado ruft fibu", "fibu calls dado"), Pair("dado ruft fibu", "fibu calls kuku")]
    )
    assert there is not None
    assert elsewhere is not None
    assert there.token_scores[2] > math.log(0.5) > elsewhere.token_scores[2]
    assert elsewhere.tokens[2] == "<unk>"


def test_constraints_may_name_words_of_the_source() -> None:
    translator = trained(True, False)
    wish = [Constraints(prefix="dado seeks"), Constraints(banned=["fibu"])]
    first, second = translator.translate(["dado ruft fibu"] * 2, beam=4, constraints=wish)
    assert first[0].text.startswith("dado seeks")
    assert "fibu" not in second[0].text


def test_together_with_a_model_that_does_not_copy() -> None:
    both = Translator.ensemble([trained(True, False), trained(False, False)])
    turned = Translator.ensemble([trained(False, False), trained(True, False)])
    pairs = some(6, 4)
    texts = [pair.source for pair in pairs]
    found = both.translate(texts, beam=4, token_scores=True)
    assert [own[0].text for own in found] == [own[0].text for own in turned.translate(texts, beam=4)]
    assert any(own[0].text == pair.target for own, pair in zip(found, pairs, strict=True))
    assert both.translate(texts[:1], beam=2)[0][0].text  # few rows, for which steps are programs elsewhere
    scores = score_pairs(both, [Pair(text, own[0].text) for text, own in zip(texts, found, strict=True)])
    for own, score in zip(found, scores, strict=True):
        assert score is not None
        assert score.token_scores[: len(own[0].token_scores or [])] == pytest.approx(own[0].token_scores, abs=1e-4)
