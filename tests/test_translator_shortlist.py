"""Answers among the tokens of a shortlist."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from translators import SOURCE, TARGET, lively

from s2s.errors import UserError
from s2s.models.compact import slim
from s2s.search import Candidates, shortlist
from s2s.search.lexical import Lexicon
from s2s.translator import Translator

TEXTS = ["abcd", "ef gh", "a", "hgfedcba", "dd ee"]
SIZE = len(TARGET.vocabulary)


def with_candidates(translator: Translator) -> Translator:
    """Source token i makes target token i likely, and no other."""
    both = np.arange(4, min(len(SOURCE.vocabulary), SIZE))
    lexicon = Lexicon(both, both, np.ones(len(both)))
    translator.candidates = Candidates.of(lexicon, [0] * SIZE, len(SOURCE.vocabulary))
    return translator


def texts(translator: Translator, **keys: object) -> list[list[str]]:
    return [
        [one.text for one in own]
        for own in translator.translate(TEXTS, n_best=2, beam=3, search={"min_length": 3, **keys})
    ]


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("precision", [None, "bfloat16", "int8"])
def test_a_list_of_all_tokens_changes_nothing(precision: str | None, batch_size: int) -> None:
    translator = with_candidates(lively())
    if precision:
        slim(translator.model, precision)
    plain = texts(translator, batch_size=batch_size)
    assert texts(translator, shortlist=5, batch_size=batch_size) == plain
    assert len({one for own in plain for one in own}) > 2


def test_only_what_is_listed_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "COMMON", 0)
    monkeypatch.setattr(shortlist, "WHOLE", 1)
    translator = with_candidates(lively())
    found = texts(translator, shortlist=1, batch_size=1)
    for text, own in zip(TEXTS, found, strict=True):
        may = {TARGET.decode([token]) for token in SOURCE.encode(text) if token < SIZE}
        assert {letter for answer in own for letter in answer} <= may
    assert any(map(any, found))
    assert found != texts(translator)


def test_constraints_are_kept() -> None:
    translator = with_candidates(lively())
    for own in translator.translate(TEXTS, beam=3, search={"shortlist": 1, "required": ["x"], "prefix": "z"}):
        assert own[0].text.startswith("z")
        assert "x" in own[0].text


def test_ensembles_and_samples() -> None:
    both = Translator.ensemble([with_candidates(lively()), lively()])
    assert texts(both, shortlist=5) == texts(both)
    drawn = both.translate(TEXTS, n_best=2, search={"shortlist": 5, "sample": True, "seed": 3})
    assert [len(own) for own in drawn] == [2] * len(TEXTS)


def test_without_candidates() -> None:
    with pytest.raises(UserError, match="s2s shortlist RUN"):
        lively().translate(TEXTS, search={"shortlist": 5})


def test_the_model_itself_stays_whole() -> None:
    translator = with_candidates(lively())
    before = translator.model.output.weight.clone()
    texts(translator, shortlist=1)
    assert translator.model.output.out_features == SIZE
    assert torch.equal(translator.model.output.weight, before)
