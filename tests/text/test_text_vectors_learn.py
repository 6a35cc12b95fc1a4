"""word2vec by gensim: what is close in the text is close, one seed gives one result, and gensim reads our files."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2s.errors import MissingExtraError, UserError
from s2s.text.vectors import Learning, Vectors, learn_vectors, nearest, read_vectors, vector_bytes

gensim = pytest.importorskip("gensim")
HOW = Learning(size=12, window=3, min_count=2, epochs=15, negative=5, cbow=False, seed=1, workers=1)
GROUPS = ("red green blue yellow", "one two three four")


def sentences() -> list[list[str]]:
    draw = random.Random(1)
    groups = [group.split() for group in GROUPS]
    return [draw.choices(groups[number % 2], k=8) for number in range(300)] + [["once"]]


def learned(how: Learning = HOW) -> Vectors:
    return learn_vectors(sentences(), how, say=lambda _: None)


@pytest.mark.parametrize("cbow", [False, True])
def test_words_of_one_kind_are_close(cbow: bool) -> None:
    vectors = learned(replace(HOW, cbow=cbow, epochs=40))
    assert sorted(vectors.words) == sorted(" ".join(GROUPS).split())
    for group in GROUPS:
        first, *others = group.split()
        found = nearest(vectors, vectors.words.index(first), 3)
        assert {word for word, _ in found} == set(others)


def test_what_is_said() -> None:
    said: list[str] = []
    learn_vectors(sentences(), replace(HOW, epochs=2), say=said.append)
    assert said == [
        "2,401 words in 301 sentences; 8 of 9 different ones get a vector",
        "epoch 1 of 2",
        "epoch 2 of 2",
    ]


def test_one_seed_gives_one_result_in_every_process() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_text_vectors_learn import learned\nprint(learned().values_NE.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == learned().values_NE.tobytes().hex()
    assert not np.array_equal(learned(replace(HOW, seed=2)).values_NE, learned().values_NE)


@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
def test_gensim_reads_what_is_written_and_the_other_way_round(tmp_path: Path, text: bool) -> None:
    vectors = learned(replace(HOW, epochs=1))
    (tmp_path / "ours").write_bytes(vector_bytes(vectors.words, vectors.values_NE, text=text))
    keyed = gensim.models.KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=not text)
    assert keyed.index_to_key == vectors.words
    assert np.array_equal(keyed.vectors, vectors.values_NE)
    keyed.save_word2vec_format(str(tmp_path / "theirs"), binary=not text)
    found = read_vectors(tmp_path / "theirs")
    assert found.words == vectors.words
    assert np.array_equal(found.values_NE, vectors.values_NE)


def test_gensims_own_format_is_refused(tmp_path: Path) -> None:
    vectors = learned(replace(HOW, epochs=1))
    keyed = gensim.models.KeyedVectors(vectors.size)
    keyed.add_vectors(vectors.words, vectors.values_NE)
    keyed.save(str(tmp_path / "native.kv"))
    with pytest.raises(UserError, match="is a pickle") as refused:
        read_vectors(tmp_path / "native.kv")
    command = str(refused.value).split('"')[1].replace("vectors.bin", str(tmp_path / "vectors.bin"))
    exec(command, {})  # what the message advises
    assert np.array_equal(read_vectors(tmp_path / "vectors.bin").values_NE, vectors.values_NE)


def test_texts_without_words_or_with_rare_ones_alone() -> None:
    with pytest.raises(UserError, match="need text, got none"):
        learn_vectors([], HOW, say=lambda _: None)
    with pytest.raises(
        UserError, match=r"no word occurs 2 times: the most frequent of 2, 'b', does 1 times.*min-count"
    ):
        learn_vectors([["a", "b"]], HOW, say=lambda _: None)


def test_without_gensim_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingExtraError, match=r"pip install 's2s\[vectors\]'"):
        learned()
