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
from s2s.build.replies import Asked
from s2s.build.speech import DialogueValidator, predict
from s2s.build.spoken import dialogue_scores
from s2s.config import Config
from s2s.config.io import check
from s2s.corpus.dialogue.flat import encode_dialogues, flat_pairs
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
