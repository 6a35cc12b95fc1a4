"""The keys of `[search]` and what a call may ask for, from texts to texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny_model
from translators import SOURCE, TARGET, lively, made

from s2s.config.io import check
from s2s.errors import UserError
from s2s.search import coverage
from s2s.text.vocab import UNK
from s2s.text.words import Words
from s2s.translator import Constraints, Translation, Translator

TEXTS = ["abc", "", "hgfedcba", "a", "d d", "abc", "zzz", "efghabcdefgh", "b"]


def repeats(text: str, size: int) -> bool:
    grams = [text[i : i + size] for i in range(len(text) - size + 1)]
    return len(set(grams)) < len(grams)


KEYS: list[tuple[dict[str, Any], Callable[[str, Translation], bool]]] = [
    ({"min_length": 7}, lambda _, answer: len(answer.text) >= 7),
    ({"min_ratio": 2.5}, lambda text, answer: len(answer.text) >= 2.5 * len(text)),
    ({"no_repeat_ngram": 2}, lambda _, answer: not repeats(answer.text, 2)),
    ({"prefix": "zyx"}, lambda _, answer: answer.text.startswith("zyx")),
    ({"banned": ["y", "ww"]}, lambda _, answer: "y" not in answer.text and "ww" not in answer.text),
    ({"required": ["zz", "yv"]}, lambda _, answer: "zz" in answer.text and "yv" in answer.text),
    ({"length_penalty_kind": "none"}, lambda _, answer: answer.score == answer.log_probability),
    (
        {"length_penalty_kind": "average"},
        lambda _, answer: answer.score == pytest.approx(answer.log_probability / (len(answer.text) + 1)),
    ),
]


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize(("keys", "holds"), KEYS, ids=[str(keys) for keys, _ in KEYS])
def test_a_key_does_the_same_in_the_run_and_in_a_call(
    keys: dict[str, Any], holds: Callable[[str, Translation], bool], beam: int
) -> None:
    found = lively().translate(TEXTS, search={**keys, "beam": beam}, n_best=beam)
    assert found == lively(**keys, beam=beam).translate(TEXTS, n_best=beam)
    for text, answers in zip(TEXTS, found, strict=True):
        assert not text or all(holds(text, answer) for answer in answers)
    assert not all(
        holds(text, answer)
        for text, answers in zip(TEXTS, lively().translate(TEXTS, beam=beam, n_best=beam), strict=True)
        for answer in answers
        if text
    ), "the key would not show"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"beem": 3}, "did you mean search.beam"),
        ({"min_length": 9, "max_length": 8}, "min_length = 9 is above max_length = 8"),
        ({"min_ratio": 4.0}, "above max_ratio"),
        ({"temperature": 0.5}, "set sample = true"),
        ({"top_k": 5, "top_p": 0.5}, "top_k, top_p: only for sampling"),
        ({"sample": True, "groups": 2}, "need beam search"),
        ({"sample": True, "required": ["v"]}, "need beam search"),
        ({"beam": 5, "groups": 2}, "groups = 2 must divide beam = 5"),
        ({"beam": 4, "groups": 2, "required": ["v"]}, "groups must be 1"),
        ({"banned": [" "]}, "blank"),
        ({"top_p": 0.0, "sample": True}, "top_p"),
        ({"required": ["v?"]}, "cannot write it"),
        ({"prefix": "?"}, "cannot write it"),
        ({"required": ["vwx"], "banned": ["w"]}, "which is banned"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made().translate(["abc"], search=keys)


@pytest.mark.parametrize("keys", [{"coverage_penalty": 0.2}, {"replace_unknown": True}])
def test_what_needs_attention_says_so(keys: dict[str, Any]) -> None:
    tree = {"model": {"attention": "none"}, "text": {"tokenizer": "words"}, "search": keys}
    with pytest.raises(UserError, match="needs attention"):
        check(tree, "x")
    with pytest.raises(UserError, match="for characters and words"):
        check({"text": {"tokenizer": "bpe"}, "search": {"replace_unknown": True}}, "x")
    with pytest.raises(UserError, match="alignments need attention"):
        made(None).translate(["abc"], alignments=True)


def test_each_text_has_its_own_constraints() -> None:
    own = [Constraints(prefix="zz"), Constraints(required=["wv"], banned=["x"]), Constraints()]
    first, second, third = made(banned=["y"]).translate(["abc", "abc", "abc"], beam=3, n_best=3, constraints=own)
    assert all(answer.text.startswith("zz") for answer in first)
    assert all("wv" in answer.text and "x" not in answer.text for answer in second)
    assert not any("y" in answer.text for answer in [*first, *second, *third])
    alone = made(banned=["y"]).translate(["abc"], beam=3, n_best=3)[0]
    assert [answer.text for answer in third] == [answer.text for answer in alone]
    with pytest.raises(ValueError, match="zip"):
        made().translate(["abc"], constraints=own)


# ---- what comes with an answer


@pytest.mark.parametrize("search", [{"beam": 1}, {"beam": 4}, {"sample": True}])
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_scores_and_alignments(search: dict[str, Any], reverse: bool) -> None:
    translator = made(reverse=reverse)
    found = translator.translate(TEXTS, search=search, n_best=3, token_scores=True, alignments=True)
    for text, answers in zip(TEXTS, found, strict=True):
        for answer in answers:
            assert answer.pieces == list(answer.text)
            assert answer.token_scores is not None
            assert len(answer.token_scores) == len(answer.pieces) + (answer.finished and bool(text))
            assert sum(answer.token_scores) == pytest.approx(answer.log_probability, abs=1e-4)
            weights = translator.align(text, answer.text)
            wanted = [] if weights is None else torch.tensor(weights.weights)[:-1].argmax(1).tolist()
            assert answer.alignment == wanted
    plain = translator.translate(TEXTS, search=search, n_best=3)
    for answers, others in zip(found, plain, strict=True):
        for answer, other in zip(answers, others, strict=True):
            assert (answer.text, answer.finished) == (other.text, other.finished)
            assert answer[1:3] == pytest.approx(other[1:3], abs=1e-4)  # they are added up in another order
    assert all(answer[4:] == (None, None, None) for answers in plain for answer in answers)


@pytest.mark.parametrize("beam", [1, 4])
def test_coverage_is_added_and_ranks(beam: int) -> None:
    translator = lively()
    plain = translator.translate(TEXTS, beam=beam, n_best=beam)
    found = translator.translate(TEXTS, beam=beam, n_best=beam, search={"coverage_penalty": 0.7})
    for text, before, after in zip(TEXTS, plain, found, strict=True):
        assert {one.text for one in before} == {one.text for one in after}
        order = [(not one.finished, -one.score) for one in after]
        assert order == sorted(order)
        scores = {one.text: one.score for one in before}
        for one in after:
            weights = translator.align(text, one.text)
            if weights is not None:
                rows = torch.tensor(weights.weights)[: len(one.text) + one.finished]
                assert one.score == pytest.approx(scores[one.text] + coverage(rows, 0.7), abs=1e-4)
    if beam > 1:
        assert [[a.text for a in own] for own in plain] != [[a.text for a in own] for own in found]


# ---- sampling


def test_samples_do_not_depend_on_the_batch() -> None:
    translator = made(sample=True)
    found = translator.translate(TEXTS, n_best=5)
    for size in (1, 3):
        again = translator.translate(TEXTS, n_best=5, batch_size=size)
        assert [[a.text for a in answers] for answers in again] == [[a.text for a in answers] for answers in found]
    other = translator.translate(TEXTS, n_best=5, search={"seed": 2})
    assert [[a.text for a in answers] for answers in other] != [[a.text for a in answers] for answers in found]
    assert found[0] != found[5]  # the same text at another place
    later = translator.translate(TEXTS[4:], n_best=5, first=4)
    assert [[a.text for a in answers] for answers in later] == [[a.text for a in answers] for answers in found[4:]]
    assert [len(answers) for answers in found] == [5 if text else 1 for text in TEXTS]


def test_a_width_makes_it_a_beam_search() -> None:
    translator = made(sample=True, temperature=0.7, top_k=3)
    assert translator.translate(TEXTS, beam=1) == made().translate(TEXTS)
    assert translator.translate(TEXTS, beam=3) == made().translate(TEXTS, beam=3)
    assert made(beam=4, groups=2).translate(TEXTS, beam=1) == made().translate(TEXTS)


def test_groups_widen_to_the_next_multiple() -> None:
    (answers,) = made(beam=4, groups=2, diversity=0.0).translate(["abc"], n_best=5)
    assert 3 <= len(answers) <= 5


# ---- unknown words


def unknown_writer(source: Any, target: Any, preset: str = "joey", *, reverse: bool = False) -> Translator:
    """A translator that writes <unk> most of the time."""
    torch.manual_seed(1)
    size = max(len(source.vocabulary), len(target.vocabulary))
    model = tiny_model(preset, core="gru", vocabulary=size, seed=2, dtype=torch.float32)
    model.output = torch.nn.Linear(model.decoder.output_size, len(target.vocabulary)).eval()
    with torch.no_grad():
        model.output.bias[UNK] = 1.5
    tree = {
        "text": {"tokenizer": source.kind},
        "model": {"reverse_source": reverse},
        "search": {"replace_unknown": True, "max_ratio": 0.1},
    }
    return Translator(
        model, source, target, config=check(tree, "x"), name="run", languages=("a", "b"), device=torch.device("cpu")
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_unknown_characters_become_those_of_the_source(reverse: bool) -> None:
    translator = unknown_writer(SOURCE, TARGET, reverse=reverse)
    for text in ("abXYZ", "ÄÖÜ", "a"):
        (answer,) = translator.translate([text], alignments=True)[0]
        assert answer.pieces is not None
        assert answer.alignment is not None
        assert "<unk>" in answer.pieces
        wanted = [text[i] if p == "<unk>" else p for p, i in zip(answer.pieces, answer.alignment, strict=True)]
        assert answer.text == "".join(wanted)


def test_unknown_words_keep_the_spelling_of_the_source() -> None:
    source, target = Words.train(["der Hund sah die Katze ."]), Words.train(["the dog saw a cat ."])
    translator = unknown_writer(source, target)
    (answer,) = translator.translate(["der Dackel (Waldi) sah Mieze."], alignments=True)[0]
    words = ["der", "Dackel", "(", "Waldi", ")", "sah", "Mieze", "."]
    assert answer.pieces is not None
    assert answer.alignment is not None
    assert "<unk>" in answer.pieces
    wanted = [words[i] for piece, i in zip(answer.pieces, answer.alignment, strict=True) if piece == "<unk>"]
    assert "<unk>" not in answer.text
    assert [word for word in answer.text.split() if word in words and word not in target.vocabulary.tokens] == [
        word for word in wanted if word not in target.vocabulary.tokens
    ]


# ---- ensembles


def test_an_ensemble_of_one_model_is_that_model() -> None:
    one = made()
    assert Translator.ensemble([one]).translate(TEXTS, beam=3) == one.translate(TEXTS, beam=3)
    twice = Translator.ensemble([one, made()]).translate(TEXTS, beam=3, alignments=True)
    for left, right in zip(twice, one.translate(TEXTS, beam=3, alignments=True), strict=True):
        assert left[0].text == right[0].text
        assert left[0].alignment == right[0].alignment
        assert left[0].score == pytest.approx(right[0].score, abs=1e-4)


def test_members_differ_in_size_order_and_attention() -> None:
    torch.manual_seed(3)
    members = made("bahdanau"), made("luong", reverse=True), made(None)
    together = Translator.ensemble(members)
    assert together.name == "run + run + run"
    found = together.translate(TEXTS, beam=3, n_best=2, token_scores=True)
    for text, answers in zip(TEXTS, found, strict=True):
        if not text:
            continue
        for answer in answers:
            ids = TARGET.encode(answer.text)
            steps = []
            for member in members:
                (single,) = member.members.models
                with torch.no_grad():
                    memory = single.encode([SOURCE.encode(text)], torch.device("cpu"))
                    features = single.model.decoder(torch.tensor([[1, *ids]]), memory).features
                    steps.append(single.model.output(features)[0].softmax(-1))
            mean = torch.stack(steps).mean(0).log()
            written = [*ids, 2] if answer.finished else ids
            wanted = [float(row[token]) for row, token in zip(mean, written, strict=False)]
            assert answer.token_scores == pytest.approx(wanted, abs=1e-4)
    weights = together.align("abc", "vw")
    pair = [member.align("abc", "vw") for member in members[:2]]
    assert weights is not None
    expected = sum(torch.tensor(one.weights) for one in pair if one is not None) / 2
    torch.testing.assert_close(torch.tensor(weights.weights), expected)


def test_another_vocabulary_is_refused_with_both_hashes() -> None:
    other = made()
    other.target = type(TARGET).train(["vwxyzq"])
    hashes = TARGET.vocabulary.sha256[:12], other.target.vocabulary.sha256[:12]
    with pytest.raises(UserError, match=f"target is {hashes[0]} in run and {hashes[1]} in run"):
        Translator.ensemble([made(), other])
    with pytest.raises(ValueError, match="at least one"):
        Translator.ensemble([])
