"""Attention by words, as the server shows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from translators import lively, made

from s2s.build import attending
from s2s.build.attending import attended
from s2s.build.serving import Interpreter
from s2s.text.words import Words
from s2s.translator import Translator


def words_of(translator: Translator) -> Translator:
    """The same model over words that are cut into several tokens each (`ab` and its mark, `,`)."""
    source, target = Words.train(["a b , c d"]), Words.train(["v w . x"])
    place = {"name": "run", "languages": ("de", "en"), "device": torch.device("cpu")}
    return Translator(translator.model, source, target, config=translator.config, **place)  # type: ignore[arg-type]


def test_characters_are_words_of_their_own() -> None:
    translator = lively()
    (found,) = Interpreter(translator).attention("ab d", "xz")
    expected = translator.align("ab d", "xz")
    assert expected is not None
    assert (found.source, found.target) == (["a", "b", " ", "d"], ["x", "z"])
    np.testing.assert_allclose(found.weights, expected.weights[:-1])


def test_tokens_of_a_word_are_summed_in_the_source_and_averaged_in_the_target() -> None:
    translator = words_of(lively())
    found = attended(translator, "a, b", "v w.")
    tokens = translator.align("a, b", "v w.")
    assert found is not None
    assert tokens is not None
    assert (len(tokens.source), len(tokens.target)) == (3, 4)  # a , b / v w . </s>
    weights = np.asarray(tokens.weights)
    by_hand = [
        [weights[0, 0] + weights[0, 1], weights[0, 2]],
        [weights[1:3, :2].sum() / 2, weights[1:3, 2].mean()],
    ]
    assert (found.source, found.target) == (["a,", "b"], ["v", "w."])
    np.testing.assert_allclose(found.weights, by_hand)
    np.testing.assert_allclose(np.sum(found.weights, 1), 1, rtol=1e-5)


@pytest.mark.parametrize(("source", "target"), [("", "x"), ("a", ""), (" ", "x"), ("a", "  ")])
def test_a_blank_side(source: str, target: str) -> None:
    assert attended(lively(), source, target) is None


def test_a_model_without_attention_and_a_pair_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attended(made(None), "ab", "xz") is None
    monkeypatch.setattr(attending, "LARGEST", 6)
    assert attended(lively(), "ab", "xz") is not None
    assert attended(lively(), "abc", "xz") is None
