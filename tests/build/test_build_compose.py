"""From words to a configuration."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from s2s.build import auto
from s2s.build.compose import FREE, Composed, compose, compose_from_run
from s2s.build.folder import RunFolder
from s2s.build.model import build_model
from s2s.build.words import describe, find_recipe, recipes, split_words
from s2s.config.io import check, merge, parse_overrides
from s2s.corpus.read import Pair
from s2s.errors import UserError

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "another", "dog", "with", "some", "interest"]


def _compose(*words: str) -> tuple[Composed, str]:
    console = Console(file=io.StringIO(), width=200)
    inputs, extra = split_words(words)
    composed = compose(inputs, extra, console)
    assert isinstance(console.file, io.StringIO)
    return composed, console.file.getvalue()


def _sentences(count: int) -> list[Pair]:
    return [
        Pair(f"{n} " + " ".join(WORDS[n % 7 : n % 7 + 6]), " ".join(WORDS[n % 5 : n % 5 + 7])) for n in range(count)
    ]


def test_words_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.tsv").touch()
    inputs, extra = split_words(["x.tsv", "model.core=gru", "a=b.tsv", "model.layers=2", "data.train=c=d"])
    assert inputs == ["x.tsv", "a=b.tsv"]
    assert extra == {"model": {"core": "gru", "layers": 2}, "data": {"train": "c=d"}}


def test_every_recipe_is_found_and_described() -> None:
    assert {"date-attention", "multi30k-de-en"} <= recipes().keys()
    for name, path in recipes().items():
        assert find_recipe(name) == path
        assert len(describe(path)) > 20
    assert find_recipe("recipes/toy/date-attention.toml").is_file()


def test_unknown_recipes_name_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean date-attention"):
        find_recipe("date-atention")
    with pytest.raises(UserError, match=r"there are .*date-attention"):
        find_recipe("zzz")


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.tsv").write_text("a\tb\nc\td\ne\tf\n")
    composed, _ = _compose("pairs.tsv")
    assert composed.config.data.train == [str(tmp_path / "pairs.tsv")]
    assert composed.config.name == "pairs"
    same, _ = _compose("data.train=pairs.tsv")
    assert same.config.data.train == [str(tmp_path / "pairs.tsv")]
    assert same.config.name == "pairs"


def test_the_users_word_wins_over_the_choice(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in _sentences(30)))
    composed, said = _compose(str(tmp_path / "pairs.tsv"), "text.tokenizer=words", "training.epochs=1")
    assert composed.config.text.tokenizer == "words"
    assert composed.config.training.epochs == 1
    assert "text.tokenizer" not in said
    assert "text.tokenizer" not in composed.reasons
    assert "text.shared = " in said


@pytest.mark.parametrize("count", [3, 100, 6_000, 30_000, 600_000])
def test_choices_are_always_a_valid_configuration(count: int) -> None:
    from s2s.config.io import check

    step = max(1, count // 2_000)  # what is looked at is a sample anyway
    for pairs in (_sentences(count // step), [Pair(f"x{n}", str(n)) for n in range(count // step)]):
        seen = auto.look(pairs)
        assert seen.pairs == len(pairs)
        config = check(auto.choose(pairs).tree, "choice")
        assert config.training.epochs is not None
        assert auto.choose(pairs).reasons.keys() <= {
            f"{section}.{key}" for section, keys in auto.choose(pairs).tree.items() for key in keys
        }


def test_strings_and_sentences_are_told_apart() -> None:
    assert auto.choose(_sentences(50)).tree["text"]["tokenizer"] == "unigram"
    dates = [Pair(f"May {n % 28}, 2001", f"2001-05-{n % 28}") for n in range(50)]
    assert auto.choose(dates).tree["text"]["tokenizer"] == "characters"


def test_scripts_are_told_apart() -> None:
    texts = [left for left, _ in _sentences(50)]
    same = auto.choose([Pair(text, text[::-1]) for text in texts]).tree
    greek = {code: code + 900 for code in range(ord("a"), ord("z") + 1)}
    other = auto.choose([Pair(text, text.translate(greek)) for text in texts]).tree
    assert (same["text"]["shared"], same["model"]["tie"]) == (True, "all")
    assert (other["text"]["shared"], other["model"]["tie"]) == (False, "decoder")


def test_pairs_that_stand_in_another_file_are_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, valid = tmp_path / "train.tsv", tmp_path / "valid.tsv"
    train.write_text("".join(f"a{n}\tb{n}\n" for n in range(30)), encoding="utf-8")
    valid.write_text("a x\tb x\n", encoding="utf-8")
    console = Console(stderr=True)
    compose([str(train)], {"data": {"valid": [str(valid)]}}, console)
    assert "30 pairs in" in capsys.readouterr().err
    compose([str(train)], {}, console)
    assert "30 pairs in" in capsys.readouterr().err


SIZES = {"model": {"hidden_size": 4, "embedding_size": 4, "layers": 2}}
FREELY = (
    "text.subword_sampling=0.1",
    "model.dropout=0.5",
    "model.embedding_dropout=0.5",
    "model.output_dropout=0.5",
    "model.variational_dropout=true",
    "model.recurrent_dropout=0.5",
    "model.word_dropout=0.5",
    "model.freeze_embeddings=true",
    "model.coverage_loss=1.0",
    "model.scheduled_sampling=0.5",
    "model.scheduled_sampling_updates=7",
    "model.backend=reference",
    "model.segment=3",
)


def test_every_free_key_is_tried() -> None:
    assert {word.partition("=")[0] for word in FREELY} == FREE


@pytest.mark.parametrize("word", [word for word in FREELY if word.startswith("model.")])
def test_free_keys_leave_weights_their_shape_and_meaning(word: str) -> None:
    """The weights of one model are those of the other, and say the same."""
    plain = check(SIZES, "plain")
    other = check(merge(SIZES, parse_overrides([word])), word)
    assert plain.model != other.model
    one, two = (build_model(config.model, source_vocabulary=9, target_vocabulary=8).eval() for config in (plain, other))
    two.load_state_dict(one.state_dict(), strict=True)
    source, lengths, target = torch.tensor([[4, 5, 6]]), torch.tensor([3]), torch.tensor([[1, 5, 4, 6]])
    with torch.no_grad():
        left, right = (model.output(model(source, lengths, target)[0]) for model in (one, two))
    torch.testing.assert_close(left, right)


class TestFromRun:
    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The configuration of a run with sides of their own, and new pairs beside it."""
        monkeypatch.chdir(tmp_path)
        Path("pairs.tsv").write_text("a\tb\nc\td\ne\tf\n")
        config = check(merge(SIZES, {"model": {"dropout": 0.1, "decoder": {"dropout": 0.2, "hidden_size": 6}}}), "run")
        about = {"vocabulary": "", "identity": {}}
        RunFolder(Path("run")).create(config, about, lambda folder: None)  # noqa: ARG005
        return Path("run")

    def _compose(self, run: Path, *words: str) -> Composed:
        return compose_from_run(["pairs.tsv"], parse_overrides(words), run)

    @pytest.mark.parametrize("word", FREELY)
    def test_free_keys_may_change(self, run: Path, word: str) -> None:
        config = self._compose(run, word).config
        assert config.model.decoder.hidden_size == 6
        key = word.partition("=")[0].removeprefix("model.")
        if key in type(config.model.decoder).model_fields:
            config = self._compose(run, f"model.encoder.{key}={word.partition('=')[2]}").config
            assert getattr(config.model.encoder, key)

    def test_what_is_not_said_stays(self, run: Path) -> None:
        model = self._compose(run, "model.encoder.dropout=0.3").config.model
        assert (model.side("encoder").dropout, model.side("decoder").dropout) == (0.3, 0.2)

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("model.layers=1", "model.layers is 2, not 1"),
            ("model.encoder.layers=1", "model.layers is 2, not 1 (encoder) and 2 (decoder)"),
            (
                "model.hidden_size=8",
                "model.hidden_size is 4 (encoder) and 6 (decoder), not 8 (encoder) and 6 (decoder)",
            ),
            ("model.reverse_source=true", "model.reverse_source is False, not True"),
            ("model.encoder.layer_norm=true", "model.layer_norm is False, not True (encoder) and False (decoder)"),
            ("model.embeddings=vectors.txt", "model.embeddings is None, not "),
            ("text.lowercase=true", "text.lowercase is False, not True"),
        ],
    )
    def test_what_decides_the_weights_may_not(self, run: Path, word: str, said: str) -> None:
        with pytest.raises(UserError, match="--init-from run: the weights fit only their own model") as caught:
            self._compose(run, word)
        assert said in str(caught.value)

    def test_the_same_in_other_words_is_no_change(self, run: Path) -> None:
        assert self._compose(run, "model.decoder.layers=2", "model.encoder.hidden_size=4").config.model.layers == 2


def test_paths_of_word_vectors_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.tsv").write_text("a\tb\nc\td\ne\tf\n")
    words = ("model.embeddings=all.txt", "model.encoder.embeddings=left.txt", "model.tie=none")
    model = _compose("pairs.tsv", *words)[0].config.model
    assert model.embeddings == model.side("decoder").embeddings == str(tmp_path / "all.txt")
    assert model.encoder.embeddings == str(tmp_path / "left.txt")
    assert model.decoder.embeddings is None
    assert _compose("pairs.tsv")[0].config.model.embeddings is None
