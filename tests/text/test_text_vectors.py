"""Word vectors from files: the formats told apart by content, and what is wrong said with its place."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from s2s.errors import UserError
from s2s.text.vectors import Vectors, nearest, read_vectors, vector_bytes

WANTED = {"house", "tree", "New York", "7", "nowhere"}
GLOVE = "house 1 2.5\nfoo 3 4\ntree -1e-3 .5\nNew York 7 8\n7 9 10\nhouse 0 0\n"


@pytest.mark.parametrize("head", ["", "6 2\n"], ids=["glove", "word2vec"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"], ids=repr)
@pytest.mark.parametrize("suffix", ["txt", "txt.gz"])
def test_both_formats(tmp_path: Path, head: str, end: str, suffix: str) -> None:
    path = tmp_path / f"vectors.{suffix}"
    content = (head + GLOVE).replace("\n", end).encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    found = read_vectors(path, WANTED)
    assert found.words == ["house", "tree", "New York", "7"]
    assert (found.size, found.total) == (2, 6)
    assert found.values_NE.dtype == np.float32
    np.testing.assert_allclose(found.values_NE, [[1, 2.5], [-1e-3, 0.5], [7, 8], [9, 10]])


def test_nothing_found_still_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(GLOVE)
    found = read_vectors(tmp_path / "v.txt", set())
    assert found.values_NE.shape == (0, 2)
    assert found.total == 6


def test_bytes_that_are_not_utf8_do_not_stop(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(b"caf\xc3 1 2\nhouse 3 4\n")
    assert read_vectors(tmp_path / "v.txt", WANTED).words == ["house"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("house 1 2\ntree 3\n", "line 2: got 1 numbers, expected a word and 2 numbers"),
        ("house 1 2\ntree 3 x\n", "line 2: got something that is no number"),
        ("house 1 nan\n", "line 1: got a number that is not finite"),
        ("house\n", "line 1: got 0 numbers, expected a word and its numbers"),
        ("2 3\nhouse 1 2 3\ntree 1 2\n", "line 3: got 2 numbers, expected a word and 3"),
    ],
)
def test_what_is_no_vector(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "v.txt", WANTED)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_vectors(tmp_path / "v.txt", WANTED)
    with pytest.raises(UserError, match=r"is a folder, a file of word vectors was expected. Name the file inside it"):
        read_vectors(tmp_path, WANTED)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GLOVE.encode() * 99)[:-30])
    with pytest.raises(UserError, match=r"is broken gzip data .* again"):
        read_vectors(tmp_path / "cut.gz", WANTED)


WORDS = ["house", "tree", "é", "日本", "7", "￭,"]
RANDOM = np.random.default_rng(1).normal(size=(6, 100)).astype(np.float32)


@pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])
@pytest.mark.parametrize("name", ["v", "v.bin", "v.txt", "v.kv"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_content_says_the_format(tmp_path: Path, text: bool, name: str, packed: bool) -> None:
    content = vector_bytes(WORDS, RANDOM, text=text)
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    everything = read_vectors(tmp_path / name)
    assert everything.words == WORDS
    assert np.array_equal(everything.values_NE, RANDOM)
    assert everything.first == ("house", "tree", "é")
    some = read_vectors(tmp_path / name, {"日本", "house"})
    assert np.array_equal(some.values_NE, RANDOM[[0, 3]])
    assert (some.size, some.total) == (100, 6)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(4, 9)), elements=st.floats(-9, 9, width=32)),
    st.booleans(),
)
@example(np.array([[10.0] * 4], np.float32), False)
@example(np.frombuffer(b"@@@@" * 8, np.float32).reshape(2, 4), False)  # all letters
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, values_NE: npt.NDArray[np.float32], text: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.vectors"
    words = WORDS[: len(values_NE)]
    path.write_bytes(vector_bytes(words, values_NE, text=text))
    found = read_vectors(path)
    assert found.words == words
    assert np.array_equal(found.values_NE, values_NE)


@pytest.mark.parametrize(("end", "place"), [(60, 1), (415, 2), (600, 2), (-300, 6), (-2, 6)])
def test_a_binary_file_that_is_cut_off(tmp_path: Path, end: int, place: int) -> None:
    (tmp_path / "v.bin").write_bytes(vector_bytes(WORDS, RANDOM, text=False)[:end])
    with pytest.raises(UserError, match=rf"in vector {place} of the 6 \(of 100 numbers\)"):
        read_vectors(tmp_path / "v.bin", set())
    (tmp_path / "head").write_bytes(b"6 100\n")
    with pytest.raises(UserError, match="holds 0 vectors, its first line says 6"):
        read_vectors(tmp_path / "head")


def test_binary_numbers_that_are_not_finite(tmp_path: Path) -> None:
    broken = RANDOM.copy()
    broken[4, 50] = np.nan
    (tmp_path / "v.bin").write_bytes(vector_bytes(WORDS, broken, text=False))
    assert read_vectors(tmp_path / "v.bin", {"house"}).words == ["house"]
    with pytest.raises(UserError, match=r"vector 5 \('7'\): holds a number that is not finite"):
        read_vectors(tmp_path / "v.bin")


def test_text_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("3 2\nhouse 1 2\ntree 3 4\n")
    with pytest.raises(UserError, match="holds 2 vectors, its first line says 3"):
        read_vectors(tmp_path / "v.txt")


class _Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the pickle was loaded",)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_is_loaded(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "v.kv").write_bytes(pickle.dumps(_Harm(), protocol=protocol))
    with pytest.raises(UserError, match=r"is a pickle.*\n.*save_word2vec_format"):
        read_vectors(tmp_path / "v.kv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a zip archive; unpack it"),
        ("house 1 2\n".encode("utf-16"), r"none of the formats.*\(UTF-8\)"),
        (b"\xba\x16\x4f\x2f\x0c\x00\x00\x00", "of fastText take the .vec file"),
        (b"\x93NUMPY\x01\x00", "none of the formats"),
    ],
)
def test_other_formats(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "v")


def test_the_nearest() -> None:
    values_NE = np.array([[1, 0], [3, 0.1], [0, 1], [-1, 0], [0, 0]], np.float32)
    vectors = Vectors(list("abcde"), values_NE, 2, 5, ())
    found = nearest(vectors, 0, 3)
    assert [word for word, _ in found] == ["b", "c", "e"]
    assert found[0][1] == pytest.approx(3 / np.hypot(3, 0.1), abs=1e-6)
    assert [word for word, _ in nearest(vectors, 0, 99)] == ["b", "c", "e", "d"]
