"""Dialogues from the command line: flat, HRED and VHRED trained, gone on with, scored, talked to; what is refused."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from cli_tools import PHRASES, ROOT, SMALL, ran, refused, s2s, same_run, train
from safetensors.torch import load_file

import s2s as package
from s2s.corpus.dialogue.read import read_dialogues
from s2s.errors import UserError
from s2s.text.words import Words

NEW = (
    *SMALL,
    "--valid", "valid.tsv",
    "--test", "test.tsv",
    "data.format=turns-tsv",
    "text.tokenizer=words",
    "text.vocab_size=none",
    "model.bridge=tanh",
    "training.batch_tokens=300",
    "training.learning_rate=2e-2",
    "search.max_length=12",
    "-o", "run",
)  # fmt: skip
KINDS = {
    "flat": ("model.attention=none",),
    "hred": ("model.kind=hred", "model.context.core=gru"),
    "vhred": ("model.kind=vhred", "model.latent_size=4", "training.kl_warmup=5", "model.decoder.word_dropout=0.25"),
}
ASKED = {"who is it": "it is me", "how are you": "fine , thanks", "good bye": "see you"}


def dialogue(number: int) -> str:
    """Questions with their answers, in some order."""
    asked = list(ASKED.items())
    turns = [turn for place in range(2) for turn in asked[(number + place * (1 + number % 2)) % 3]]
    return "\t".join(turns)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, numbers in (("train", range(30)), ("valid", range(6)), ("test", range(3, 9))):
        lines = [dialogue(number) for number in numbers]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_learned_scored_and_given(here: Path, kind: str) -> None:
    words = (*NEW, *KINDS[kind], "training.epochs=40", "training.validate_every=50")
    said = train("train.tsv", *words, "model.hidden_size=32").err
    assert "30 training dialogues of 120 turns" in said
    assert "0 of 6 test dialogues share no two turns in a row with the training set" in said
    found = json.loads((here / "run" / "scores.json").read_text())
    assert found["turns"] == 24
    assert 1 < found["perplexity_per_word"] < 2.2
    assert ("active_units" in found) == (kind == "vhred")
    assert 1 < found["kneser_ney"] < 2.2  # as many tokens as words here, and as little to know
    if kind == "vhred":
        assert found["bound_per_word"] > found["perplexity_per_word"]  # a bound lies above what it bounds
    told = s2s("chat", "run", stdin=b"who is it\n\nhow are you\n[EXIT]\nwho is it\n")
    assert told.code == 0, told.err
    assert told.out.splitlines() == ["it is me", "fine , thanks"]
    samples = ("--samples", "10") if kind == "vhred" else ()  # as many as when a run ends
    again = json.loads(s2s("evaluate", "run", "--json", *samples).out)
    assert again["perplexity_per_word"] == pytest.approx(found["perplexity_per_word"], rel=1e-6)
    assert again["replies"]["unigram_f1"] == pytest.approx(found["replies"]["unigram_f1"])
    assert s2s("translate", "run", stdin=b"good bye\tsee you\thow are you\n").out == "fine , thanks\n"
    assert "model of dialogues" in (here / "run" / "README.md").read_text()


def test_what_evaluate_says_of_replies(here: Path) -> None:
    """Each way of searching, several replies to a turn, and cosines by word vectors."""
    train("train.tsv", *NEW, *KINDS["vhred"], "training.epochs=4", "training.plots=false", "training.final_test=false")
    (here / "v.txt").write_text("it 1 0\nfine 0 1\nsee 1 1\n")
    (here / "none.txt").write_text("IT 1 0\n")

    def replies(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(s2s("evaluate", "run", "--samples", "2", "--json", *words).out)
        assert found["samples"] == 2
        return dict(found["replies"])

    sampled = replies("search.sample=true", "search.temperature=1.5", "--vectors", "v.txt")
    assert sampled["search"] == "sampled, temperature 1.5"
    assert sampled["embedding_replies"] + sampled["embedding_unknown"] == 18
    assert 0 < sampled["embedding_unknown"] < 18  # "how are you" has no word with a vector
    assert -1 <= sampled["embedding_average"] <= 1
    assert sampled["samples_distance"] > 0.3
    assert sampled["contexts"] == 18
    assert [len(example["replies"]) for example in sampled["examples"]] == [5, 5, 5]
    greedy, beam = replies("search.beam=1"), replies("--beam", "3")
    assert (greedy["search"], beam["search"]) == ("greedy", "beam 3")
    assert 0.2 <= greedy["samples_different"] < sampled["samples_different"]  # z alone, not each word
    assert "embedding_average" not in greedy
    told = s2s("evaluate", "run", "--samples", "2", "search.beam=1", "--vectors", "v.txt").out
    for part in ("Kneser-Ney of order 5", "same tokens", "5 replies to each of 18 turns", "cosines by v.txt"):
        assert part in told
    refused(s2s("evaluate", "run", "--samples", "1", "--vectors", "none.txt"), "none of the 13 words", "like IT")
    refused(s2s("evaluate", "run", "search.top_k=3"), "sample")


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_is_exact(here: Path, kind: str) -> None:
    """Of a VHRED in the middle of the warm-up, too: the weight goes on where it was."""
    given = [word for word in KINDS[kind] if "kl_warmup" not in word]
    warm = ["training.kl_warmup=16"] if kind == "vhred" else []
    words = (*NEW[:-2], *given, *warm, "training.validate_every=3", "training.epochs=none")
    train("train.tsv", *words, "-o", "whole", "training.updates=8")
    train("train.tsv", *words, "-o", "half", "training.updates=5")
    train("--resume", "half", "training.updates=8")
    assert same_run(here / "whole", here / "half")
    told = [json.loads(line) for line in (here / "half" / "metrics.jsonl").read_text().splitlines()]
    weights = [row["kl_weight"] for row in told if row["event"] == "valid" and warm]
    assert weights == [update / 16 for update in (3, 5, 6, 8) if warm]


def test_a_conversation_in_python(here: Path) -> None:
    train("train.tsv", *NEW, *KINDS["vhred"], "training.epochs=1")
    chat = package.load(here / "run").chat(search={"sample": True, "seed": 3})
    first = [reply.text for reply in chat.say("who is it", candidates=4)]
    assert len(first) == 4
    assert chat.turns == ["who is it", first[0]]
    chat.reset()
    assert [reply.text for reply in chat.say(" who\tis it ", candidates=4)] == first
    assert chat.turns[0] == "who is it"
    assert len(set(first)) > 1


def test_it_talks_to_itself(here: Path) -> None:
    train("train.tsv", *NEW, *KINDS["hred"], "training.epochs=1", "training.plots=false")
    words = ("chat", "run", "--self", "4", "--seed", "3", "search.sample=true", "search.min_length=1")
    told = s2s(*words, "--opening", " who\tis it ").out.splitlines()
    assert told[0] == "who is it"
    assert len(told) == 5
    assert s2s(*words, "--opening", "who is it").out.splitlines() == told
    chat = package.load(here / "run").chat(search={"sample": True, "seed": 3, "min_length": 1})
    chat.turns.append("who is it")
    assert [chat.go_on()[0].text for _ in range(4)] == told[1:] == chat.turns[1:]
    begun = s2s(*words).out.splitlines()  # it says the first turn, too
    assert len(begun) == 4
    scored = s2s(*words, "--candidates", "2").out.splitlines()
    assert [line.partition("\t")[0] for line in scored] == ["1", "2"] * 4
    refused(s2s("chat", "run", "--opening", "who is it"), "give --self N")


def test_a_latent_variable_begins_from_an_hred(here: Path) -> None:
    train("train.tsv", *NEW[:-2], *KINDS["hred"], "training.epochs=1", "-o", "hred")
    words = (
        "model.kind=vhred",
        "model.latent_size=4",
        "training.epochs=1",
        "-o",
        "vhred",
        *NEW[:-2],
        "training.seed=7",
    )
    said = train("train.tsv", "--init-from", "hred", *words).err
    for group in (
        r"\d+ taken as they were: encoder\.\* \(\d+\), context\.\* \(\d+\), bridge\..*bias",
        r"\d+ widened \(.*\): bridge\.",
        r"\d+ kept their own start: latent\.\* \(\d+\)\n",
    ):
        assert re.search(group, said), said
    assert "not read" not in said
    assert (here / "vhred" / "scores.json").is_file()


@pytest.mark.parametrize("kind", ["flat", "hred"])
def test_a_run_begins_from_another_of_its_kind(here: Path, kind: str) -> None:
    words = (*NEW[:-2], *KINDS[kind], "training.plots=false")
    train("train.tsv", *words, "training.epochs=2", "-o", "first")
    said = train(
        "train.tsv", "--init-from", "first", *words, "training.updates=1", "training.learning_rate=1e-9", "-o", "then"
    ).err
    assert re.search(r"weights of first:\n  \d+ taken as they were: encoder\.\* ", said)
    assert "kept their own start" not in said
    first, then = (load_file(here / name / "model.safetensors") for name in ("first", "then"))
    assert first.keys() == then.keys()
    for name, weight in first.items():
        torch.testing.assert_close(then[name], weight, rtol=0, atol=1e-7)


def test_dialogues_from_standard_input(here: Path) -> None:
    words = (*NEW, *KINDS["hred"], "training.plots=false", "training.epochs=none")
    talks = (here / "train.tsv").read_bytes()
    said = train("-", *words, "training.updates=2", stdin=talks).err
    assert "30 training dialogues of 120 turns" in said
    assert (here / "run" / "stdin.txt").read_bytes() == talks
    train("--resume", "run", "training.updates=3")
    assert "replies" in json.loads(s2s("evaluate", "run", "--json").out)
    refused(
        s2s("train", "-", *words[:-2], "data.format=turns-jsonl", "-o", "new", stdin=b"{]\n"), "standard input, line 1"
    )


def test_dialogues_are_read_once(here: Path) -> None:
    with mock.patch("s2s.build.dialogues.read_dialogues", wraps=read_dialogues) as reading:
        train("train.tsv", *NEW, *KINDS["hred"], "training.plots=false", "training.epochs=1")
    assert [call.args[0] for call in reading.call_args_list] == [
        [str(here / f"{part}.tsv")] for part in ("train", "valid", "test")
    ]


class TestOddDialogues:
    def test_lone_and_empty_turns_are_said(self, here: Path) -> None:
        lines = [dialogue(0), "alone", "one\t\ttwo\tthree", "\t".join(["yes", "no"] * 500)]
        (here / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        words = (*NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none", "data.max_turns=20")
        said = train("train.tsv", *words).err
        assert "1 empty turn cut out, 2 of one turn left out, 1 longer than 20 turns cut into 50" in said

    def test_a_thousand_turns_are_read_whole(self, here: Path) -> None:
        (here / "train.tsv").write_text("\t".join(["yes", "no"] * 500) + "\n" + dialogue(1) + "\n", encoding="utf-8")
        said = train("train.tsv", *NEW, *KINDS["hred"], "training.updates=2", "training.epochs=none").err
        assert "2 training dialogues of 1,004 turns" in said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("train.tsv", "data.format=tsv"), ["format tsv is of pairs", "turns-tsv"]),
        (("data.corpus=multi30k",), ["multi30k", "holds pairs", "dailydialog"]),
        (("missing.tsv",), ["missing.tsv"]),
        (("train.tsv", "model.kind=hred", "model.bridge=copy"), ["bridge"]),
        (("train.tsv", "model.latent_size=5"), ["latent_size", "vhred"]),
    ],
)
def test_what_is_refused(here: Path, words: tuple[str, ...], parts: list[str]) -> None:
    given = [word for word in NEW if not any(word.startswith(other.partition("=")[0] + "=") for other in words)]
    result = s2s("train", *given, "model.kind=hred", *words)
    refused(result, *parts)
    assert not (here / "run").exists()


def test_too_few_to_hold_out(here: Path) -> None:
    (here / "two.tsv").write_text("a\tb\nc\n")
    words = [word for word in NEW if word not in ("--valid", "valid.tsv")]
    result = s2s("train", "two.tsv", *words, "model.kind=hred")
    refused(result, "1 of 1 dialogue ", "of one turn does not count", "--valid", "data.valid_size")


def test_what_is_refused_of_a_run(here: Path) -> None:
    train("train.tsv", *NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none", "training.plots=false")
    for verb in ("chat", "evaluate", "translate"):
        refused(s2s(verb, "run", "search.nonsense=1"), "error: [search]: ", "search.nonsense: unknown key")
    refused(s2s("evaluate", "run", "--vectors", here), f"{here} is a folder, a file of word vectors was expected")
    found = "found 4 columns, expected two", "run is of dialogues", "`s2s score` is of pairs", "s2s evaluate run"
    refused(s2s("score", "run", "test.tsv"), *found)
    (here / "pairs.tsv").write_text("⏎ who is it\tit is me\n")
    assert s2s("score", "run", "pairs.tsv").code == 0
    wrong = ran("chat", "run", folder=here, stdin=b"\xff\xfehi\n", LC_ALL="C.UTF-8")
    refused(wrong, "standard input, line 1: not UTF-8", "iconv")
    refused(s2s("chat", "run", stdin=b"\n\xff\xfehi\n"), "standard input, line 2: not UTF-8")
    chat = package.load(here / "run").chat()
    with pytest.raises(UserError, match="candidates = 0: expected at least 1"):
        chat.say("who is it", candidates=0)
    assert chat.turns == []


@pytest.mark.usefixtures("here")
def test_a_reply_with_tabs_is_one_turn() -> None:
    train("train.tsv", *NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none", "training.plots=false")
    with mock.patch.object(Words, "decode", return_value="it\tis\nme"):
        assert s2s("translate", "run", stdin=b"who is it\n").out == "it is me\n"
        assert s2s("chat", "run", stdin=b"who is it\n").out == "it is me\n"


def test_the_first_block_of_the_page_runs_line_by_line(here: Path) -> None:
    """Without the recipes, which want DailyDialog's files."""
    page = (ROOT / "docs" / "dialogue.md").read_text(encoding="utf-8")
    block = page.partition("```\n")[2].partition("```")[0]
    lines = [line for line in block.splitlines() if line and "--from DIR" not in line]
    (here / "talks.tsv").write_bytes((here / "train.tsv").read_bytes())
    (here / "v.bin").write_text("it 1 0\nfine 0 1\nsee 1 1\n")
    (here / "histories.txt").write_text("who is it\tit is me\thow are you\n")
    few = (*SMALL, "training.updates=1", "training.epochs=none", "text.tokenizer=words", "text.vocab_size=none")
    assert len(lines) == 9
    for line in lines:
        _, *words = shlex.split(line.partition(" < ")[0], comments=True)
        result = s2s(*words, *(few if words[0] == "train" else ()), stdin=b"who is it\n")
        assert result.code == 0, (line, result.err)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ("it 1 2 3\nme 3 4 5\n", "vectors of 3 numbers, but the encoder's embedding has 16"),
        ("it 1 2 3\nme 3 4\n", "v.txt, line 2: got 2 numbers"),
        ("IT" + " 1" * 16 + "\n", "has none of the encoder's 13 tokens"),
    ],
)
def test_vectors_that_do_not_fit(here: Path, vectors: str, message: str) -> None:
    (here / "v.txt").write_text(vectors)
    refused(s2s("train", "train.tsv", *NEW, *KINDS["hred"], "model.embeddings=v.txt"), message)
    assert not (here / "run").exists()


def test_pairs_hold_no_conversation(here: Path) -> None:  # noqa: ARG001
    train(PHRASES, "-o", "pairs", *SMALL, "training.updates=1", "text.vocab_size=100")
    refused(s2s("chat", "pairs"), "was trained on pairs", "s2s translate")
    train("train.tsv", *NEW, *KINDS["hred"], "training.updates=1", "training.epochs=none")
    refused(s2s("evaluate", "run", "pairs"), "pairs", "evaluate them apart")
    refused(s2s("evaluate", "run", "--bootstrap", "100"), "bootstrap")
    refused(s2s("evaluate", "pairs", "--samples", "3"), "of runs of dialogues")
    refused(s2s("chat", "run", "pairs"), "expected one run", "got 2")
