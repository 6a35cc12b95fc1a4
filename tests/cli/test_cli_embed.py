"""`s2s embed`: from texts to vectors, what lies near in them, and a model that starts from them."""

from __future__ import annotations

import gzip
import inspect
import json
import re
from pathlib import Path

import pytest
from cli_tools import PHRASES, ROOT, SMALL, refused, s2s, train

from s2s.cli.embed import embed as verb
from s2s.text.vectors import read_vectors, vector_bytes
from s2s.text.words import split_chunk

pytest.importorskip("gensim")
QUICK = ("--size", "16", "--epochs", "2", "--min-count", "1")


def embed(*words: str | Path) -> tuple[str, str]:
    """`s2s embed words...`, which must succeed."""
    result = s2s("embed", *words)
    assert result.code == 0, result.err
    return result.out, result.err


def test_from_texts_to_a_model(here: Path) -> None:
    out, said = embed(PHRASES, "-o", "new/v.bin", *QUICK, "--lowercase", "--neighbours", "guten", "--plot", "v.png")
    assert "sentences" in said
    assert "epoch 2 of 2" in said
    assert out.startswith("guten: ")
    assert len(out.split()) == 1 + 2 * 10
    assert (here / "v.png").read_bytes().startswith(b"\x89PNG")
    keys = next(line for line in said.splitlines() if line.startswith("vectors: ")).partition("with ")[2].split()
    assert keys == [
        "text.tokenizer=words",
        "model.embeddings=new/v.bin",
        "model.embedding_size=16",
        "text.lowercase=true",
    ]
    small = [word for word in SMALL if "embedding_size" not in word]
    said = train(PHRASES, *small, *keys, "training.epochs=1", "-o", "run").err
    assert "of the encoder's" in said
    assert "(100.0 %) start from them, 100.0 % of the tokens of its texts; 0 start at random" in said


def test_the_page_has_the_options_and_their_defaults() -> None:
    page = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `--([a-z-]+)` \| (\w+) \|", page, flags=re.MULTILINE)
    defaults = {name: parameter.default for name, parameter in inspect.signature(verb).parameters.items()}
    shown = {name.replace("-", "_"): False if value == "off" else int(value) for name, value in table}
    numbers = {name for name, default in defaults.items() if isinstance(default, int)} - {"lowercase"}
    assert shown == {name: defaults[name] for name in numbers}
    assert {f"--{name}" for name in ("neighbours", "plot", "show", "lowercase")} <= set(re.findall(r"--[a-z-]+", page))


def test_every_kind_of_file(here: Path) -> None:
    """Tabs, gzip and JSON lines give the same sentences in the same order, so the same vectors."""
    turns = ["Say hi, Jim!", "hi hi", "bye"]
    (here / "plain").write_text("\n".join(turns) + "\n")
    (here / "turns.tsv").write_bytes(b"\xef\xbb\xbf" + "\t".join(turns).encode() + b"\r\n")
    (here / "turns.tsv.gz").write_bytes(gzip.compress((here / "turns.tsv").read_bytes()))
    (here / "list.jsonl").write_text(json.dumps(turns))
    (here / "dialog.jsonl").write_text(json.dumps({"dialog": [[{"id": "a", "text": turn} for turn in turns]]}))
    (here / "first.jsonl").write_text(json.dumps({"source": turns[0], "target": turns[1]}))
    (here / "eou.txt").write_text("".join(f"{turn} __eou__ " for turn in turns) + "\n")
    (here / "last").write_text(turns[2])
    kinds = [
        ["plain"],
        ["turns.tsv"],
        ["turns.tsv.gz"],
        ["list.jsonl"],
        ["dialog.jsonl"],
        ["eou.txt"],
        ["first.jsonl", "last"],
    ]
    found = []
    for files in kinds:
        embed(*files, "-o", "v", *QUICK)
        found.append((here / "v").read_bytes())
    assert found == found[:1] * len(kinds)
    words = {token for turn in turns for chunk in turn.split() for token in split_chunk(chunk)}
    assert set(read_vectors(here / "v").words) == words


def test_a_corpus_and_its_words(here: Path) -> None:
    """Training texts of keys of [data] or of a recipe, cut as [text] says; what is held out is not among them."""
    talks = ["A b.\tC b.\tA d.", "A b.\tE"] * 5
    (here / "talks.tsv").write_text("\n".join(talks))
    (here / "valid.tsv").write_text("hidden words\thidden words")
    keys = ["data.format=turns-tsv", "data.train=talks.tsv", "data.valid=valid.tsv"]
    _, said = embed(*keys, "text.tokenizer=spaces", "text.lowercase=true", "-o", "v.txt", *QUICK)
    assert set(read_vectors("v.txt").words) == {"a", "b.", "c", "d.", "e"}
    assert "text.tokenizer=spaces" in said
    assert "text.lowercase=true" in said
    (here / "own.toml").write_text(
        '[data]\nformat = "turns-tsv"\ntrain = "talks.tsv"\nvalid = "valid.tsv"\n'
        '[text]\ntokenizer = "spaces"\nlowercase = true\n'
    )
    embed("own.toml", "-o", "w.txt", *QUICK)
    assert (here / "w.txt").read_bytes() == (here / "v.txt").read_bytes()
    (here / "pairs.tsv").write_text("x y\tz\n" * 20)
    embed("data.train=pairs.tsv", "data.valid=pairs.tsv", "-o", "p.txt", *QUICK)
    assert set(read_vectors("p.txt").words) == {"x", "y", "z"}


def test_the_suffix_says_how_it_is_written(here: Path) -> None:
    for name in ("v.bin", "v.txt", "v.vec"):
        embed(PHRASES, "-o", name, *QUICK)
    assert (here / "v.txt").read_bytes() == (here / "v.vec").read_bytes()
    assert (here / "v.txt").read_text(encoding="utf-8").startswith(f"{len(read_vectors('v.bin').words)} 16\n")
    assert (read_vectors("v.txt").values_NE == read_vectors("v.bin").values_NE).all()


def test_a_look_at_vectors_that_are_there(here: Path) -> None:
    (here / "glove.txt").write_text("king 1 0.1\nqueen 1 0.2\nhouse 0 1\n")
    out, said = embed("--show", "glove.txt", "--neighbours", "king", "--neighbours", "house")
    assert out == "king: queen 1.00, house 0.10\nhouse: queen 0.20, king 0.10\n"
    assert "glove.txt: 3 vectors of 2, the first of them king queen house" in said
    refused(s2s("embed", "--show", "glove.txt", "--neighbours", "kings"), "no vector of it; there are king")
    refused(s2s("embed", "--show", "none.bin"), "none.bin: no such file")
    refused(s2s("embed", "--show", "glove.txt", "-o", "v"), "leave texts and -o out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "v"], "got no texts"),
        (["text"], "or no place for the vectors"),
        (["text", "-o", "v.kv"], "gensim's pickles, which can run any program"),
        (["text", "-o", "v.bin.gz"], "written unpacked"),
        (["text", "-o", "folder"], "is a folder"),
        (["text", "-o", "text"], "is one of the texts"),
        (["text", "-o", "text/v"], "is no folder"),
        (["-", "-o", "v"], "standard input"),
        (["missing", "-o", "v"], "missing: "),
        (["text", "data.corpus=dailydialog", "-o", "v"], "one of the two"),
        (["text.lowercase=true", "-o", "v"], "expected files of text, or a corpus"),
        (["text", "model.core=gru", "-o", "v"], "expected keys of data and text"),
        (["folder", "-o", "v"], "folder"),
        (["empty", "-o", "v"], "need text, got none"),
        (["text", "-o", "v", "--min-count", "4"], "no word occurs 4 times: the most frequent of 2, 'a', does 3 times"),
        (["latin", "-o", "v"], "latin, line 2: not UTF-8"),
        (["broken.gz", "-o", "v"], "broken gzip data"),
        (["cut.gz", "-o", "v"], "broken gzip data"),
        (["bad.jsonl", "-o", "v"], "bad.jsonl, line 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input(here: Path, words: list[str], message: str) -> None:
    (here / "folder").mkdir()
    (here / "text").write_text("a a a b\n")
    (here / "empty").write_text("\n \n")
    (here / "latin").write_bytes(b"good\ncaf\xe9\n")
    (here / "broken.gz").write_bytes(b"plain")
    (here / "cut.gz").write_bytes(gzip.compress(b"a b c\n" * 999)[:-12])
    (here / "bad.jsonl").write_text("{]\n")
    refused(s2s("embed", *words), message)
    assert sorted(path.name for path in here.iterdir()) == sorted(
        ["folder", "text", "empty", "latin", "broken.gz", "cut.gz", "bad.jsonl"]
    )


def test_vectors_that_do_not_fit_a_model(here: Path) -> None:
    words = (PHRASES, *SMALL, "text.tokenizer=words", "training.epochs=1", "-o", "run")
    values = read_vectors(_vectors(here, "xx 1 2 3\nyy 3 4 5\n")).values_NE
    (here / "cut.bin").write_bytes(vector_bytes(["xx", "yy"], values, text=False)[:-5])
    for file, message in (
        (_vectors(here, "ich 1 2 3\ndu 3 4 5\n"), "vectors of 3 numbers, but the encoder's embedding has 16"),
        (_vectors(here, "ich 1 2 3\ndu 3 4\n"), "line 2: got 2 numbers"),
        (_vectors(here, "xx" + " 1" * 16 + "\n"), "has none of the encoder's"),
        (Path("cut.bin"), "cut.bin ends, or goes wrong, in vector 2 of the 2"),
    ):
        refused(s2s("train", *words, f"model.embeddings={file}"), message)
        assert not (here / "run").exists()


def _vectors(folder: Path, text: str) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.txt"
    path.write_text(text)
    return path
