"""What a run of dialogues reads, how it is validated, and what its scores are made of."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dialogue import tiny_hred

from s2s.build.dialogue_model import kl_weight
from s2s.build.dialogues import DialogueCorpus, load_dialogues
from s2s.build.replies import Asked, replies_text
from s2s.build.speech import DialogueValidator, predict
from s2s.build.spoken import dialogue_scores, spoken_text
from s2s.config import Config
from s2s.config.io import check
from s2s.corpus.dialogue.flat import encode_dialogues, flat_pairs
from s2s.errors import UserError
from s2s.evaluation.kneser_ney import KneserNey
from s2s.models import HRED
from s2s.text.turns import Turns
from s2s.text.vocab import EOS
from s2s.text.words import Words
from s2s.translator import Translator

TALKS = [("a b", "c a", "b"), ("b", "a c"), ("c c a", "b a", "a", "b c")]
TOKENIZER = Words.train([turn for talk in TALKS for turn in talk], kind="spaces")


def config(**training: object) -> Config:
    keys = {"threads": 1, "precision": "float32", "samples": 0, **training}
    return check({"model": {"kind": "vhred", "latent_size": 2}, "training": keys, "search": {"max_length": 4}}, "test")


def speaker(*, latent: int = 2, of: Config | None = None) -> tuple[Translator, HRED]:
    model = tiny_hred(latent=latent, vocabulary=len(TOKENIZER.vocabulary), dtype=torch.float32)
    given = of or config()
    made = Translator(
        model, Turns(TOKENIZER), TOKENIZER, config=given, name="tiny", languages=("said", "reply"),
        device=torch.device("cpu"),
    )  # fmt: skip
    return made, model


def silence(model: HRED) -> None:
    """Posterior and prior say the same of every turn."""
    assert model.latent is not None
    with torch.no_grad():
        for one in (model.latent.prior, model.latent.posterior):
            for layer in (one.mean, one.variance):
                layer.weight.zero_()
                layer.bias.zero_()


def warned(caplog: pytest.LogCaptureFixture, *, collapsed: bool, update: int) -> bool:
    """Whether a validation at this update of a warm-up of ten warns."""
    given = config(kl_warmup=10)
    translator, model = speaker(of=given)
    if collapsed:
        silence(model)
    encoded = encode_dialogues(TALKS, TOKENIZER)
    weight = kl_weight(given.training, update)
    validate = DialogueValidator(given, translator, model, encoded, list(flat_pairs(TALKS)), lambda: weight)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="s2s"):
        found = validate("float32").scores
    assert found["kl_weight"] == weight
    assert found["loss"] == found["bound"] == pytest.approx(found["reconstruction"] + found["kl"])  # the whole KL
    return "the posterior has collapsed" in caplog.text


def test_a_collapsed_posterior_is_warned_of_once_the_divergence_counts_whole(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, collapsed=True, update=10)
    assert not warned(caplog, collapsed=True, update=9)
    assert not warned(caplog, collapsed=False, update=10)


def test_no_active_unit_is_a_collapse_too(caplog: pytest.LogCaptureFixture) -> None:
    """Posterior and prior differ, but by as much for every turn."""
    given = config()
    translator, model = speaker(of=given)
    silence(model)
    assert model.latent is not None
    with torch.no_grad():
        model.latent.posterior.mean.bias += 1.0
    encoded = encode_dialogues(TALKS, TOKENIZER)
    validate = DialogueValidator(given, translator, model, encoded, list(flat_pairs(TALKS)), lambda: 1.0)
    with caplog.at_level(logging.WARNING, logger="s2s"):
        found = validate("float32").scores
    assert found["kl"] > 0.1
    assert found["active_units"] == 0
    assert "active units 0" in caplog.text


def test_without_test_dialogues_those_of_the_validation_are_scored() -> None:
    translator, _ = speaker(latent=0)
    found = dialogue_scores(translator, DialogueCorpus(TALKS[1:], TALKS[:1], [], []), Asked())
    same = dialogue_scores(translator, DialogueCorpus(TALKS[1:], [], TALKS[:1], [0]), Asked())
    assert found["perplexity"] == same["perplexity"]
    assert (found["n"], found["clean"]["dialogues"]) == (1, 1)
    assert spoken_text(found).startswith("validation (the run has no test dialogues), every turn: perplexity ")
    assert spoken_text(same).startswith("test, every turn: perplexity ")
    with pytest.raises(UserError, match="neither test nor validation"):
        dialogue_scores(translator, DialogueCorpus(TALKS, [], [], []), Asked())


def test_windows_of_a_dialogue_count_as_one() -> None:
    translator, _ = speaker(latent=0)
    windows = [TALKS[0][:2], TALKS[1], TALKS[2][:2], TALKS[2][2:]]
    found = dialogue_scores(translator, DialogueCorpus(TALKS, TALKS, windows, [2, 3], parts=[0, 1, 2, 2]), Asked())
    assert (found["n"], found["dialogues"], found["clean"]["dialogues"]) == (3, 3, 1)


def test_replies_have_a_bleu_and_copies_of_the_training_set() -> None:
    translator, _ = speaker(latent=0)
    found = dialogue_scores(translator, DialogueCorpus(TALKS, TALKS, TALKS, []), Asked())["replies"]
    assert found["bleu"] >= 0
    assert found["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    human = found["human"]
    assert human["most_frequent_share"] == pytest.approx(1 / 6)
    told = {**found, "bleu": 12.345, "copies": 0.5}
    assert "BLEU 12.35, 50.0 % are turns of the training set" in "\n".join(replies_text(told))


def test_a_dialogue_is_held_out_with_all_its_windows(tmp_path: Path) -> None:
    path = tmp_path / "talks.tsv"
    talks = ["\t".join(f"{talk} says {turn}" for turn in range(40)) for talk in range(20)]
    path.write_text("\n".join([*talks, "alone"]) + "\n", encoding="utf-8")
    keys = {"train": [str(path)], "test": [str(path)], "format": "turns-tsv", "max_turns": 10, "valid_size": 5}
    found = load_dialogues(check({"data": keys}, "test").data)
    sides = [{turn.split()[0] for talk in side for turn in talk} for side in (found.train, found.valid)]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1]), len(found.train), len(found.valid)) == (18, 2, 72, 8)
    assert "held out 2 of 21 dialogues for validation, 1 without a reply left out" in found.notes
    assert found.parts == [talk for talk in range(20) for _ in range(4)]


def test_a_word_costs_what_the_sum_over_all_turns_says() -> None:
    """Sums first, one division at the end: no mean over turns or dialogues."""
    translator, model = speaker(latent=0)
    corpus = DialogueCorpus(TALKS, TALKS[:1], TALKS, [0, 2])
    found = dialogue_scores(translator, corpus, Asked(replies=2))
    encoded = encode_dialogues(TALKS, TOKENIZER)
    nll = predict(model, encoded, torch.device("cpu"), "float32").nll
    tokens = np.array([len(turn) + 1 for talk in encoded for turn in talk])
    assert found["perplexity"] == pytest.approx(np.exp(nll.sum() / tokens.sum()))
    clean = [0, 1, 2, 5, 6, 7, 8]
    assert found["clean"]["perplexity"] == pytest.approx(np.exp(nll[clean].sum() / tokens[clean].sum()))
    told = [[*turn, EOS] for talk in encoded for turn in talk]
    baseline = -KneserNey.fit(told, order=5, size=len(TOKENIZER.vocabulary)).scores(told)
    assert found["kneser_ney"] == pytest.approx(np.exp(baseline.sum() / tokens.sum()))
    assert found["clean"]["kneser_ney"] == pytest.approx(np.exp(baseline[clean].sum() / tokens[clean].sum()))
    assert (found["replies"]["replies"], len(found["replies"]["examples"])) == (2, 2)
    assert "samples_distance" not in found["replies"]  # nothing is drawn


def test_a_latent_variable_gives_one_turn_several_replies() -> None:
    translator, model = speaker()
    assert model.latent is not None
    with torch.no_grad():
        model.latent.prior.variance.bias += 40.0
    found = dialogue_scores(translator, DialogueCorpus(TALKS, TALKS, TALKS, []), Asked(samples=2))["replies"]
    assert found["search"] == "greedy"
    assert (found["contexts"], found["samples"]) == (6, 5)
    assert found["samples_different"] > 0.2
    assert max(len(set(example["replies"])) for example in found["examples"]) > 1
    silence(model)
    with torch.no_grad():
        model.latent.prior.variance.bias -= 200.0
    still = dialogue_scores(translator, DialogueCorpus(TALKS, TALKS, TALKS, []), Asked(samples=2))["replies"]
    assert still["samples_different"] == pytest.approx(0.2)


@pytest.mark.parametrize(("wanted", "turn"), [(None, "I don ’ t ."), (False, "I don ’ t ."), (True, "I don't .")])
def test_contractions_are_joined_where_that_is_asked_for(wanted: bool | None, turn: str, tmp_path: Path) -> None:
    path = tmp_path / "talks.tsv"
    path.write_text("".join(f"You do {number} .\tI don ’ t .\n" for number in range(20)), encoding="utf-8")
    given = {} if wanted is None else {"join_contractions": wanted}
    data = check({"data": {"train": [str(path)], "format": "turns-tsv", **given}}, "test").data
    assert {one[1] for one in load_dialogues(data).train} == {turn}
