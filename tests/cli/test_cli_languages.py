"""One model that writes two languages, told by a tag which one is wanted: words as they are, and words reversed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from cli_tools import PHRASES, SMALL, refused, s2s, same_run, train
from fastapi.testclient import TestClient

import s2s as package
from s2s.build.serving import servable
from s2s.errors import UserError
from s2s.serve.app import create_app
from s2s.text.tags import tags_of

CHARACTERS = (*SMALL, "text.tokenizer=characters", "model.core=gru", "training.batch_size=32")
TOY = (
    "same.tsv",
    *('data.mix=[{train="back.tsv", target_lang="back"}]', "data.source_lang=xx", "data.target_lang=same"),
    *("--valid", "valid.tsv", "text.tags=true"),
    *(*CHARACTERS, "model.hidden_size=64", "model.embedding_size=32", "training.learning_rate=4e-3"),
    *("model.attention=luong", "training.pool=1", "training.schedule=constant", "model.output_dropout=0"),
)


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdef", k=draw.randint(2, 4))) for _ in range(count)]


def write(folder: Path) -> None:
    """700 words to copy, the same words to reverse, and 40 to copy for validation."""
    known = words(1, 700)
    (folder / "same.tsv").write_text("".join(f"{word}\t{word}\n" for word in known))
    (folder / "back.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in known))
    (folder / "valid.tsv").write_text("".join(f"{word}\t{word}\n" for word in words(2, 40)))
    (folder / "test.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words(3, 100)))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes `same` and `back`, in a folder with its files."""
    folder = tmp_path_factory.mktemp("languages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(folder)
        train(*TOY, "training.epochs=8", "-o", "run")
    return folder


@pytest.fixture
def inside(learned: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(learned)
    return learned


def test_both_are_learned(inside: Path) -> None:
    assert inside
    asked = words(3, 100)
    text = "".join(f"{word}\n" for word in asked).encode()
    for language, answers in (("same", asked), ("back", [word[::-1] for word in asked])):
        found = s2s("translate", "run", "--to", language, stdin=text).out.splitlines()
        right = sum(one == other for one, other in zip(found, answers, strict=True))
        assert right >= 90, (language, right)


def test_without_a_word_it_is_the_first(inside: Path) -> None:
    assert inside
    assert s2s("translate", "run", stdin=b"abcd\n") == s2s("translate", "run", "--to", "same", stdin=b"abcd\n")


def test_the_run_names_its_directions(inside: Path) -> None:
    about = json.loads((inside / "run/run.json").read_text())
    assert about["languages"] == ["xx", "same"]
    assert about["directions"] == [["xx", "same"], ["xx", "back"]]


def test_text_that_spells_a_tag_is_text(inside: Path) -> None:
    assert inside
    source = package.load("run").source
    first, *rest = source.encode("<2back>")
    assert source.pieces([first]) == ["<2same>"]
    assert len(rest) == len("<2back>")
    assert not set(rest) & set(tags_of(source.vocabulary).values())


def test_an_unknown_language_is_refused(inside: Path) -> None:
    assert inside
    for verb in (["translate", "run"], ["score", "run", "back.tsv"], ["evaluate", "run", "--data", "back.tsv"]):
        refused(s2s(*verb, "--to", "fr"), "'fr': no language of this model; it writes same, back")
    refused(s2s("evaluate", "run", "--to", "back"), "give the test set with --data")


def test_scores_are_of_the_language(inside: Path) -> None:
    assert inside
    perplexity = {
        language: json.loads(s2s("score", "run", "test.tsv", "--to", language, "--total", "--json").out)["perplexity"]
        for language in ("same", "back")
    }
    assert perplexity["back"] < 1.2 < 3 < perplexity["same"]
    scores = json.loads(s2s("evaluate", "run", "--data", "test.tsv", "--to", "back", "--bootstrap", "0", "--json").out)
    assert scores["exact_match"] >= 0.9
    assert scores["loss"] < 0.2


def test_alignments_leave_the_tag_out(inside: Path) -> None:
    done = s2s("score", "run", "test.tsv", "--to", "back", "--alignments", "links.txt")
    assert done.code == 0, done.err
    assert set((inside / "links.txt").read_text().split()) == {"0-0"}


def test_from_python(inside: Path) -> None:
    assert inside
    translator = package.load("run")
    backwards = translator.to("back")
    assert (backwards.source_lang, backwards.target_lang) == ("xx", "back")
    assert backwards.model is translator.model
    assert translator.translate(["abc"], target="back") == backwards.translate(["abc"])
    assert translator.translate(["abc"], target="same") == translator.translate(["abc"])
    alignment = backwards.align("abc")
    assert alignment is not None
    assert alignment.source == ["<2back>", "a", "b", "c"]
    ensemble = package.Translator.ensemble([translator, package.load("run")])
    assert ensemble.translate(["abc"], target="back")[0][0].text == backwards.translate(["abc"])[0][0].text
    with pytest.raises(UserError, match="it writes same, back"):
        translator.translate([], target="fr")


def test_the_server_offers_all_directions(inside: Path) -> None:
    assert inside
    with TestClient(create_app(servable(package.load("run")))) as client:
        (offered,) = client.get("/languages").json()
        assert (offered["code"], offered["targets"]) == ("xx", ["same", "back"])
        for target in ("same", "back"):
            reply = client.post("/translate", json={"q": "abcd", "source": "xx", "target": target}).json()
            assert reply["translatedText"] == s2s("translate", "run", "--to", target, stdin=b"abcd\n").out.strip()
        assert client.post("/translate", json={"q": "abcd", "source": "xx", "target": "fr"}).status_code == 400


def test_a_run_resumes_to_the_same_bits(here: Path) -> None:
    write(here)
    rest = (*TOY, "data.weight=1", "model.hidden_size=16")
    mix = 'data.mix=[{train="back.tsv", target_lang="back", weight=2}]'
    train(*rest, mix, "training.updates=12", "training.checkpoint_every=5", "-o", "whole")
    train(*rest, mix, "training.updates=7", "training.checkpoint_every=5", "-o", "cut")
    train("--resume", "cut", "training.updates=12")
    assert same_run(here / "whole", here / "cut")


def test_subwords_may_be_drawn_and_vocabularies_shared(here: Path) -> None:
    """A tag is never written, though it stands in the vocabulary of the answers."""
    shutil.copy(PHRASES, here / "more.en-de.tsv")
    words = (PHRASES, 'data.mix=[{train="more.en-de.tsv"}]', "text.tags=true", "text.shared=true", "text.tokenizer=bpe")
    drawn = ("text.vocab_size=200", "text.subword_sampling=0.2", "training.updates=3", "search.max_length=20")
    train(*words, *drawn, *SMALL, "model.tie=all", "-o", "run")
    translator = package.load("run")
    assert translator.directions == [("de", "en"), ("en", "de")]
    found = translator.translate(
        ["Guten Morgen!"] * 2, target="de", n_best=5, search={"sample": True}, token_scores=True
    )
    pieces = {piece for answers in found for answer in answers for piece in answer.pieces or []}
    assert pieces
    assert not pieces & {"<2en>", "<2de>"}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["text.tags=false"], ["several target languages (same, back)", "text.tags = true"]),
        (["data.target_lang=a b"], ["'a b'", "expected a language code"]),
    ],
)
def test_mistakes(here: Path, words: list[str], parts: list[str]) -> None:
    write(here)
    refused(s2s("train", *TOY, *words, "-o", "run"), *parts)
    assert not Path("run").exists()


def test_a_run_of_one_language_says_so(dates: Path) -> None:
    assert s2s("translate", dates, "--to", "tgt", stdin=b"May 1, 2001\n").code == 0
    refused(s2s("translate", dates, "--to", "fr"), "writes tgt, and was not trained for 'fr'")


def test_many_sources_need_no_tags(here: Path) -> None:
    write(here)
    mix = 'data.mix=[{train="same.tsv", source_lang="yy"}]'
    train("same.tsv", mix, "data.source_lang=xx", "data.target_lang=zz", *CHARACTERS, "training.updates=1", "-o", "run")
    found = package.load("run").each_direction()
    assert [(one.source_lang, one.target_lang) for one in found] == [("xx", "zz"), ("yy", "zz")]


def test_fine_tuning_keeps_the_tags(inside: Path, tmp_path: Path) -> None:
    """New pairs of a language that the model knows; of another they are refused."""
    assert inside
    words = (
        "train",
        "test.tsv",
        "--init-from",
        "run",
        "training.updates=1",
        "training.epochs=none",
        "-o",
        tmp_path / "new",
    )
    refused(s2s(*words, "data.target_lang=fr"), "'fr': no language of this model; it writes same, back")
    done = s2s(*words, "data.target_lang=back")
    assert done.code == 0, done.err
    tuned = package.load(tmp_path / "new")
    assert tuned.target_lang == "back"
    assert tuned.to("same").target_lang == "same"
