"""Word vectors from text files: both formats, and what is wrong said with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from s2s.errors import UserError
from s2s.text.vectors import read_vectors

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
    with pytest.raises(UserError, match="cannot be read"):
        read_vectors(tmp_path, WANTED)
    (tmp_path / "v.gz").write_bytes(b"plain")
    with pytest.raises(UserError, match="cannot be read"):
        read_vectors(tmp_path / "v.gz", WANTED)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GLOVE.encode() * 99)[:-30])
    with pytest.raises(UserError, match="cannot be read"):
        read_vectors(tmp_path / "cut.gz", WANTED)
