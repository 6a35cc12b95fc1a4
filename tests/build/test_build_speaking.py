"""What is trained on in a run of dialogues: the parts of the loss with their weights, and what is cut."""

from __future__ import annotations

import io
from pathlib import Path
from unittest import mock

import pytest
import torch
from rich.console import Console
from tiny_dialogue import DIALOGUES, batch_of

from s2s.build.dialogues import DialogueCorpus
from s2s.build.folder import RunFolder
from s2s.build.inheriting import shortened
from s2s.build.speaking import dialogue_trainee
from s2s.build.trainee import Start, Trainee
from s2s.config.io import check, parse_overrides
from s2s.models import HRED, dialogue_loss
from s2s.text.words import Words
from s2s.training.state import Progress

TALKS = [("a b c", "c a", "b"), ("b", "a c"), ("c c a", "b a", "a", "b c")]
SMALL = (
    "model.hidden_size=6",
    "model.embedding_size=5",
    "text.tokenizer=spaces",
    "text.vocab_size=none",
    "training.threads=1",
    "training.precision=float32",
)
VHRED = ("model.kind=vhred", "model.latent_size=3")
BATCH = batch_of(DIALOGUES)


def trainee(*words: str, talks: list[tuple[str, ...]] = TALKS) -> tuple[Trainee, str]:
    """And what is said on the way."""
    out = io.StringIO()
    config = check(parse_overrides([*SMALL, *words]), "x")
    corpus = DialogueCorpus(talks, talks, [], [])
    return dialogue_trainee(config, corpus, Start(), Console(file=out, width=500)), out.getvalue()


def trained(made: Trainee, update: int) -> float:
    torch.manual_seed(3)  # of the noise of the latent variable
    return made.objective(Progress(update=update))(BATCH).total.item()


def by_hand(made: Trainee, **weights: float) -> float:
    assert isinstance(made.model, HRED)
    torch.manual_seed(3)
    return dialogue_loss(made.model, BATCH, **weights).total.item()


def test_the_divergence_is_warmed_up() -> None:
    made, _ = trainee(*VHRED, "training.kl_warmup=8")
    found = [trained(made, update) for update in (0, 2, 8, 80)]
    assert found == [by_hand(made, kl_weight=weight) for weight in (0.0, 0.25, 1.0, 1.0)]
    assert found[0] < found[1] < found[2]


def test_the_weight_follows_the_run() -> None:
    made, _ = trainee(*VHRED, "training.kl_warmup=8")
    progress = Progress(update=2)
    objective = made.objective(progress)
    for progress.update in (2, 3):
        torch.manual_seed(3)
        assert objective(BATCH).total.item() == by_hand(made, kl_weight=progress.update / 8)


def test_free_bits_cost_nothing() -> None:
    made, _ = trainee(*VHRED, "training.free_bits=50.0")
    assert trained(made, 5) == by_hand(made, free_bits=50.0)
    assert trained(made, 5) > by_hand(made) + 50  # nothing falls below the floor


def test_words_are_guessed_with_their_weight() -> None:
    made, _ = trainee(*VHRED, "training.bag_of_words=0.5")
    assert trained(made, 5) == by_hand(made, bag_of_words=0.5)
    assert trained(made, 5) > by_hand(made) + 1


def test_all_three_together() -> None:
    made, _ = trainee(*VHRED, "training.kl_warmup=8", "training.free_bits=50.0", "training.bag_of_words=0.5")
    for update in (1, 6):
        assert trained(made, update) == by_hand(made, kl_weight=update / 8, free_bits=50.0, bag_of_words=0.5)


def test_cut_histories_are_counted() -> None:
    """With their end marks the histories have 4, 7; 2; 4, 7, 9 tokens."""
    assert "1 of 6 histories cut to their last 8 tokens" in trainee("data.max_source=8", "data.format=turns-tsv")[1]
    assert "3 of 6 histories cut to their last 4 tokens" in trainee("data.max_source=4", "data.format=turns-tsv")[1]
    assert "histories" not in trainee("data.max_source=9", "data.format=turns-tsv")[1]
    assert "histories" not in trainee(*VHRED, "data.max_source=4")[1]  # it reads all of them
    one_turn = trainee("data.max_source=4", "data.context_turns=1", "data.format=turns-tsv")[1]
    assert "histories" not in one_turn  # the turns before are not to be read


def test_one_turn_is_one() -> None:
    assert "training: 2 turns cut to 2 tokens" in trainee(*VHRED, "data.max_target=2")[1]
    assert "training: 1 turn cut to 2 tokens" in trainee(*VHRED, "data.max_target=2", talks=TALKS[:2])[1]


def test_names_are_shortened_where_nothing_else_begins_alike() -> None:
    names = ["encoder.a", "encoder.b.c", "bridge.w", "decoder.x.v", "decoder.x.w"]
    assert shortened(names, [*names, "decoder.y"]) == ["encoder.* (2)", "bridge.w", "decoder.x.* (2)"]
    assert shortened(names[:2], [*names, "encoder.z"]) == ["encoder.a", "encoder.b.c"]
    assert shortened([], names) == []


def test_validations_of_tokenised_text_do_not_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """sacreBLEU would, of a hundred answers."""
    made, _ = trainee("data.format=turns-tsv", "training.samples=0", talks=[("a .", "b .")] * 60)
    with mock.patch.object(Words, "decode", return_value="a ."):
        scores = made.judge(RunFolder(tmp_path), made.model, Progress())().scores
    assert scores["exact_match"] == 0.5
    assert "bleu" in scores
    assert not caplog.records
