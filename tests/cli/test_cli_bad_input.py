"""Bad input: a message that says what, got, expected and what to do; exit code 2; nothing lost, nothing half-made."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from cli_tools import DATES, PHRASES, SMALL, Result, refused, s2s, snapshot, train

WORDS = ("-o", "run", *SMALL, "training.epochs=1")


def _train(*words: str | Path, stdin: bytes = b"") -> Result:
    result = s2s("train", *words, stdin=stdin)
    assert not Path("run").exists()
    assert not [path for path in Path().iterdir() if path.name.startswith(".run")]
    return result


@pytest.fixture
def copy(dates: Path, here: Path) -> Path:
    """A run that a test may damage."""
    shutil.copytree(dates, here / "copy")
    return Path("copy")


@pytest.mark.usefixtures("here")
class TestFiles:
    def test_missing(self) -> None:
        refused(_train("pairs.tsv", *WORDS), "pairs.tsv: no such file")

    def test_missing_recipe_file(self) -> None:
        refused(_train("mine.toml", *WORDS), "mine.toml: no such file")

    def test_folder(self) -> None:
        Path("corpus").mkdir()
        refused(_train("corpus", *WORDS), "corpus: is a folder", "name the file inside it")

    @pytest.mark.parametrize(
        ("line", "found"), [("one", "1 column"), ("a\tb\tc", "3 columns"), ("", "an empty line")], ids=repr
    )
    def test_columns(self, line: str, found: str) -> None:
        Path("pairs.tsv").write_text(f"a\tb\n{line}\nc\td\n")
        refused(_train("pairs.tsv", *WORDS), "pairs.tsv, line 2", found, "two columns", "--skip-bad")

    def test_columns_of_standard_input(self) -> None:
        refused(_train("-", *WORDS, stdin=b"a\tb\nc\n"), "standard input, line 2", "1 column")

    def test_skip_bad_counts_them(self) -> None:
        Path("pairs.tsv").write_text("a\tb\nc\n" + "".join(f"{n}\t{n}\n" for n in range(9)) + "a\tb\tc\n")
        said = train("pairs.tsv", *WORDS, "--skip-bad").err
        assert "skipped 2 bad lines of" in said
        assert "10 pairs in pairs.tsv" in said

    @pytest.mark.parametrize("words", [("pairs.tsv",), ("-",)])
    def test_not_utf8(self, words: tuple[str, ...]) -> None:
        content = "über\tover\nschön\tfine\n".encode("latin-1")
        Path("pairs.tsv").write_bytes(content)
        refused(_train(*words, *WORDS, stdin=content), "line 1: not UTF-8", "0xfc", "iconv")

    @pytest.mark.parametrize("content", ["", "\n\n"], ids=repr)
    def test_empty(self, content: str) -> None:
        Path("pairs.tsv").write_text(content)
        refused(_train("pairs.tsv", *WORDS), "pairs.tsv: empty, no pairs")

    def test_parallel_files_of_different_length(self) -> None:
        Path("a.de").write_text("eins\nzwei\n")
        Path("a.en").write_text("one\n")
        refused(_train("a.de", "a.en", *WORDS), "same number of lines", "has 2", "has 1")

    def test_three_files(self) -> None:
        refused(_train("a", "b.tsv", "c.tsv", *WORDS), "one file of pairs, or two parallel files")

    def test_nothing_at_all(self) -> None:
        refused(_train(), "nothing to train on", "s2s recipes", "pairs.tsv")

    def test_filters_that_leave_nothing(self) -> None:
        refused(
            _train(PHRASES, *WORDS, "data.max_source=1", "text.tokenizer=words"), "no training pair is left", "[data]"
        )


@pytest.mark.usefixtures("here")
class TestConfiguration:
    @pytest.mark.parametrize(
        ("word", "parts"),
        [
            ("training.epoch=3", ["training.epoch: unknown key", "training.epochs?"]),
            ("modl.core=gru", ["modl", "unknown key", "model"]),
            ("training.epochs=many", ["training.epochs = 'many'", "integer"]),
            ("training.epochs=-1", ["training.epochs = -1", "greater than or equal to 0"]),
            ("model.dropout=1.5", ["model.dropout = 1.5", "less than 1"]),
            ("model.core=lsmt", ["model.core = 'lsmt'", "lstm"]),
            ("model.attention=luongg", ["model.attention = 'luongg'", "'luong'"]),
            ("model.bridge=copy", ["copy"]),
            ("model.tie=all", ["text.shared"]),
            ("training.device=cuda", ["cuda", "cpu"]),
            ("data.corpus=multi40k", ["multi40k", "multi30k"]),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_override(self, word: str, parts: list[str]) -> None:
        import torch

        if word.endswith("cuda") and torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        refused(_train("date-attention", *WORDS, "model.bidirectional=true", word), *parts)

    def test_all_problems_at_once(self) -> None:
        result = _train("date-attention", *WORDS, "training.epoch=3", "model.dropout=2", "text.tokenizer=chars")
        refused(result, "3 problems", "training.epochs?", "model.dropout", "text.tokenizer")

    def test_before_any_file_is_read(self) -> None:
        refused(_train("missing.tsv", *WORDS, "training.epoch=3"), "training.epochs?")

    def test_unknown_recipe(self) -> None:
        refused(_train("date-atention", *WORDS), "date-atention: neither a file nor a recipe", "date-attention?")

    def test_broken_toml(self) -> None:
        Path("mine.toml").write_text("[data\n")
        refused(_train("mine.toml", *WORDS), "mine.toml: not valid TOML", "line 1")


class TestRunDirectory:
    VERBS = (("evaluate",), ("translate",), ("serve",), ("train", "--resume"), ("train", "pairs.tsv", "--init-from"))

    @pytest.mark.parametrize("verb", VERBS, ids=" ".join)
    def test_that_is_none(self, here: Path, verb: tuple[str, ...]) -> None:
        (here / "folder").mkdir()
        (here / "pairs.tsv").write_text("a\tb\nc\td\n")
        refused(s2s(*verb, "missing"), "missing: no such folder", "s2s train")
        refused(s2s(*verb, "pairs.tsv"), "pairs.tsv: is a file", "s2s train")
        refused(s2s(*verb, "folder"), "folder: not a run directory", "config.toml and run.json missing")
        assert sorted(path.name for path in here.iterdir()) == ["folder", "pairs.tsv"]

    @pytest.mark.parametrize("verb", [("evaluate",), ("translate",), ("serve",)], ids=" ".join)
    @pytest.mark.parametrize("left", [0, 5, 100, -1])
    def test_truncated_weights(self, copy: Path, verb: tuple[str, ...], left: int) -> None:
        path = copy / "model.safetensors"
        path.write_bytes(path.read_bytes()[:left])
        refused(s2s(*verb, copy), "model.safetensors", "cut off", "--resume")

    def test_truncated_weights_are_made_again(self, copy: Path) -> None:
        (copy / "model.safetensors").write_bytes(b"")
        said = train("--resume", copy).err
        assert "warning: copy/model.safetensors: not a whole safetensors file" in said
        assert "Made again from step-14" in said
        assert s2s("translate", copy).code == 0

    def test_missing_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        refused(s2s("translate", copy), "no weights there")

    def test_vocabulary_of_another_run(self, copy: Path) -> None:
        train(*DATES, "data.seed=9", "training.epochs=0", "-o", "other")
        shutil.rmtree(copy / "text")
        shutil.copytree("other/text", copy / "text")
        refused(s2s("translate", copy), "vocabulary")

    def test_vocabulary_of_the_same_size(self, copy: Path) -> None:
        pairs = (copy / "text" / "source.json").read_text()
        from s2s.text.tokenizer import load_tokenizer, train_tokenizer

        size = len(load_tokenizer(copy / "text", "source").vocabulary)
        letters = [chr(ord("α") + n) for n in range(size)]
        other = train_tokenizer("characters", letters, vocab_size=size)
        assert len(other.vocabulary) == size
        other.save(copy / "text", "source")
        assert (copy / "text" / "source.json").read_text() != pairs
        refused(s2s("translate", copy), "another vocabulary", "together")

    @pytest.mark.parametrize("name", ["text/source.json", "run.json", "config.toml"])
    @pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"], ids=repr)
    def test_damaged_parts(self, copy: Path, name: str, content: bytes | None) -> None:
        if content is None:
            (copy / name).unlink()
        elif (name, content) == ("config.toml", b""):
            pytest.skip("an empty configuration is one")
        else:
            (copy / name).write_bytes(content)
        refused(s2s("translate", copy), Path(name).name)

    def test_newer_format(self, copy: Path) -> None:
        path = copy / "run.json"
        path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
        refused(s2s("translate", copy), "newer", "Upgrade s2s")


class TestOutput:
    def test_a_run_is_not_replaced_unasked(self, copy: Path) -> None:
        before = snapshot(copy)
        refused(s2s("train", *DATES, "-o", copy), "already holds a run", "--resume", "--overwrite", "-o")
        assert snapshot(copy) == before

    @pytest.mark.usefixtures("here")
    def test_the_default_folder_is_not_either(self) -> None:
        train(*DATES, "training.epochs=0")
        refused(s2s("train", *DATES, "training.epochs=0"), "runs/date-attention: already holds a run")

    @pytest.mark.parametrize(
        "words",
        [("missing.tsv",), ("date-attention", "model.dropout=7"), ("bad.tsv",), (PHRASES, "model.core=python:no:No")],
        ids=["missing", "configuration", "line", "model"],
    )
    def test_the_old_run_stays_until_the_new_one_is_built(self, copy: Path, words: tuple[str | Path, ...]) -> None:
        Path("bad.tsv").write_text("a\n")
        before = snapshot(Path())
        refused(s2s("train", *words, "-o", copy, "--overwrite"))
        assert snapshot(Path()) == before

    def test_overwrite_replaces_the_whole_run(self, copy: Path) -> None:
        (copy / "stale").write_text("of the old run")
        train(*DATES, "training.epochs=1", "-o", copy, "--overwrite")
        assert not (copy / "stale").exists()
        assert sorted(path.name for path in Path().iterdir()) == ["copy"]
        assert (copy / "checkpoints" / "latest").read_text() == "step-7\n"

    @pytest.mark.parametrize("content", ["notes.txt", "config.toml", "run.json"])
    def test_overwrite_leaves_other_folders_alone(self, here: Path, content: str) -> None:
        (here / "mine").mkdir()
        (here / "mine" / content).write_text("mine")
        for words in ((), ("--overwrite",)):
            refused(
                s2s("train", *DATES, "-o", "mine", *words), "mine: is not empty and holds no run", "left alone", "-o"
            )
        assert snapshot(Path("mine")) == {f"mine/{content}": b"mine"}

    def test_overwrite_keeps_data_that_lies_in_the_run(self, copy: Path) -> None:
        shutil.copy(PHRASES, copy / "pairs.tsv")
        refused(s2s("train", copy / "pairs.tsv", *SMALL, "-o", copy, "--overwrite"), "lies in copy", "-o")
        assert (copy / "pairs.tsv").is_file()

    def test_an_empty_folder_is_filled(self, here: Path) -> None:
        (here / "run").mkdir()
        train(*DATES, "training.epochs=0", "-o", "run")
        assert (here / "run" / "run.json").is_file()

    def test_a_file_in_the_way(self, here: Path) -> None:
        (here / "run").write_text("mine")
        refused(s2s("train", *DATES, "-o", "run"), "run: is a file", "-o")

    def test_a_file_as_parent(self, here: Path) -> None:
        (here / "file").write_text("mine")
        refused(s2s("train", *DATES, "-o", "file/run"), "file/run", "can't be written", "-o")

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
    def test_read_only_folder(self, here: Path) -> None:
        (here / "locked").mkdir(mode=0o500)
        refused(s2s("train", *DATES, "-o", "locked/run"), "locked/run", "can't be written", "-o")
        assert not list((here / "locked").iterdir())
