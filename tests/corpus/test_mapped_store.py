"""A store holds what `read_pairs` reads, refuses what it refuses, and is whole or not there."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.formats import Format
from s2s.corpus.mapped import make, pieces
from s2s.corpus.mapped.make import alone, open_store
from s2s.corpus.mapped.pairs import MappedPairs
from s2s.corpus.mapped.store import Store
from s2s.corpus.read import Pair, read_pairs
from s2s.errors import UserError

Paths = Sequence[Path]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines a piece, blocks of a few bytes, all in this process."""
    monkeypatch.setattr(pieces, "LINES", 3)
    monkeypatch.setattr(pieces, "_BLOCK", 16)
    monkeypatch.setattr("s2s.corpus.mapped.work.cores", lambda: 1)


def read(paths: Paths, root: Path, format: Format = "auto", *, skip_bad: bool = False) -> tuple[list[Pair], int, str]:
    store = open_store(paths, root, format=format, skip_bad=skip_bad)
    return list(MappedPairs((store,))), store.manifest.bad, store.manifest.format


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except UserError as error:
        return str(error)


def same(paths: Paths, root: Path, format: Format = "auto") -> object:
    """What both ways of reading make of the files, which must be the same, errors and all."""
    found: object = None
    for skip_bad in (False, True):

        def plain(skip_bad: bool = skip_bad) -> object:
            result = read_pairs(paths, format=format, skip_bad=skip_bad)
            return result.pairs, result.bad, result.format

        found = outcome(plain)
        assert outcome(lambda skip_bad=skip_bad: read(paths, root, format, skip_bad=skip_bad)) == found
    return found


LINES = ["a\tb", "ein Haus\ta house", "ä\tü", "x", "", " ", "\t", "1\t2\t3", "a b\t", "\ufeffq\tw", "\u3000\t\u3000"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n\t\n", "\n\u3000\n"])
@pytest.mark.parametrize("count", range(9))
def test_every_length_of_file(tmp_path: Path, count: int, end: str) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(("\ufeff" + "\n".join(f"s{n}\tt{n}" for n in range(count)) + end).encode())
    same([path], tmp_path / "stores")


@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from(["", "\n"]), st.booleans())
def test_good_and_bad_lines_anywhere(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    content = ("\n".join(lines) + end).encode()
    path = folder / ("pairs.tsv.gz" if packed else "pairs.tsv")
    path.write_bytes(gzip.compress(content) if packed else content)
    same([path], folder / "stores")


@given(st.lists(st.sampled_from(["", " ", "ein Haus", "ä\r"]), max_size=9), st.integers(-2, 2), st.booleans())
def test_parallel_files(tmp_path_factory: pytest.TempPathFactory, lines: list[str], more: int, packed: bool) -> None:
    folder = tmp_path_factory.mktemp("parallel")
    left, right = folder / "a.de", folder / ("a.en.gz" if packed else "a.en")
    left.write_bytes("".join(f"{line}\n" for line in lines).encode())
    content = "\n".join(f"{number}" for number in range(len(lines) + more)).encode()
    right.write_bytes(gzip.compress(content) if packed else content)
    same([left, right], folder / "stores")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.jsonl", "\n".join(json.dumps({"source": f"a{n}", "target": "b"}) for n in range(7)).encode()),
        ("pairs.txt", b"".join(b"may %d   _2001\n" % n for n in range(7))),
        ("pairs.txt", b"a b\nc d\n"),
        ("pairs.tsv", b"".join(b"a\tb\n" for _ in range(10)) + b"c\t\xff\n" + b"a\tb\n"),
        ("pairs.tsv", "a\tb\nc\td\ne\tf\n".encode("utf-16")),
        ("pairs.tsv.gz", b"a\tb\n"),
        ("pairs.tsv.gz", gzip.compress(b"a\tb\n" * 1000, mtime=0)[:-20]),
        ("pairs.tsv", b""),
    ],
)
def test_formats_and_what_can_not_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    same([tmp_path / name], tmp_path / "stores")
    assert not list((tmp_path / "stores").glob("*.part"))


def test_what_is_not_utf8_is_found_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"a\tb\n" * 10 + b"c\t\xff\n" + b"a\tb\n")
    with pytest.raises(UserError, match=r"pairs\.tsv, line 11: not UTF-8 \(byte 0xff at offset 42\)"):
        open_store([path], tmp_path / "stores")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.tsv: no such file"):
        open_store([tmp_path / "none.tsv"], tmp_path / "stores")


# ---- made once ----


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"quelle {n}\tziel {n}\n" for n in range(10)))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stores"


def test_keys_are_of_json_lines_alone(path: Path, root: Path) -> None:
    lines = path.with_suffix(".jsonl")
    lines.write_text('{"a": "1", "b": "2", "source": "3", "target": "4"}\n')
    first = open_store([path], root)
    assert open_store([path], root, source_key="a", target_key="b").manifest == first.manifest
    assert open_store([lines], root).pair(0) == Pair("3", "4")
    assert open_store([lines], root, source_key="a", target_key="b").pair(0) == Pair("1", "2")


def folder_of(root: Path) -> Path:
    [folder] = [place for place in root.iterdir() if place.is_dir()]
    return folder


def test_made_once_and_again_when_the_file_changes(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_store([path], root)
    with monkeypatch.context() as patch:
        patch.setattr(make, "_make", lambda *_: pytest.fail("made a second time"))
        assert open_store([path], root).sha256 == first.sha256
    path.write_text("neu\tnew\n" * 4)
    changed = open_store([path], root)
    assert (len(changed), changed.pair(3)) == (4, Pair("neu", "new"))
    assert first.pair(9) == Pair("quelle 9", "ziel 9")  # who reads the old one is not disturbed
    os.utime(path, (1, 1))
    assert open_store([path], root).sha256 == changed.sha256 != first.sha256
    assert [place.name for place in root.iterdir() if place.is_dir()] == [changed.folder.name]


def test_other_options_make_another_store(path: Path, root: Path) -> None:
    assert open_store([path], root).folder != open_store([path], root, skip_bad=True).folder


@pytest.mark.parametrize("name", ["text", "offsets", "sources", "pairs", "marks", "manifest.json"])
def test_a_missing_file_is_said(path: Path, root: Path, name: str) -> None:
    open_store([path], root)
    (folder_of(root) / name).unlink()
    with pytest.raises(UserError, match=rf"damaged: .*{name}.*Remove the folder; it is made again"):
        open_store([path], root)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "text",
            lambda old: old[:-1],
            r"its file text has 139 bytes, expected 140",
        ),
        ("offsets", lambda old: old + b"\0", r"its file offsets has 169 bytes, expected 168"),
        ("manifest.json", lambda old: old[:40], r"its manifest\.json is no JSON"),
        ("manifest.json", lambda _: b"[]", r"of version None, expected 1"),
        ("manifest.json", lambda old: old.replace(b'"version": 1', b'"version": 2'), r"of version 2, expected 1"),
        ("manifest.json", lambda old: old.replace(b'"pairs": 10', b'"pairs": 9'), r"do not go with 9 pairs"),
        ("manifest.json", lambda old: old.replace(b'"bad": 0', b'"bad": "x"'), r"manifest\.json: bad: "),
    ],
)
def test_a_damaged_file_is_said(path: Path, root: Path, name: str, change: Callable[[bytes], bytes], said: str) -> None:
    open_store([path], root)
    file = folder_of(root) / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=said):
        open_store([path], root)


def test_a_file_that_is_a_folder_is_said(path: Path, root: Path) -> None:
    open_store([path], root)
    (folder_of(root) / "text").unlink()
    (folder_of(root) / "text").mkdir()
    with pytest.raises(UserError, match="its file text is no file"):
        open_store([path], root)


def test_damage_within_a_file_shows_when_it_is_read(path: Path, root: Path) -> None:
    open_store([path], root)
    text, offsets = folder_of(root) / "text", folder_of(root) / "offsets"
    text.write_bytes(b"\xff" + text.read_bytes()[1:])
    offsets.write_bytes(offsets.read_bytes()[:-8] + b"\xff" * 8)
    store = open_store([path], root)
    assert store.pair(1) == Pair("quelle 1", "ziel 1")
    with pytest.raises(UserError, match="pair 1 is not UTF-8"):
        store.pair(0)
    with pytest.raises(UserError, match="the offsets of pair 10 are no places in its text"):
        store.pair(9)


def test_a_full_disk_leaves_nothing(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(make._Out, "write", full)
        with pytest.raises(UserError, match=r"could not be written \(No space left on device; .*data\.store"):
            open_store([path], root)
    assert [place.suffix for place in root.iterdir()] == [".lock"]
    assert len(open_store([path], root)) == 10


def test_what_a_killed_process_left_is_taken_away(path: Path, root: Path) -> None:
    folder = open_store([path], root).folder
    path.write_text("a\tb\n")
    for left in (".part", ".old"):
        folder.with_name(folder.name + left).mkdir()
        (folder.with_name(folder.name + left) / "text").write_bytes(b"half")
    assert len(open_store([path], root)) == 1
    assert [place for place in root.iterdir() if place.is_dir()] == [folder]


def test_a_file_that_changes_meanwhile_is_refused(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = make.parse

    def append(task: make.Task) -> make.Parsed:
        with path.open("a") as file:
            file.write("more\tmehr\n")
        return parse(task)

    monkeypatch.setattr(make, "parse", append)
    with pytest.raises(UserError, match=r"pairs\.tsv was changed while it was read"):
        open_store([path], root)
    assert not [place for place in root.iterdir() if place.is_dir()]


def test_the_second_waits_for_the_first(path: Path, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another process that holds the lock makes the store; this one finds it whole."""
    name = open_store([path], root).folder
    found: list[Store] = []
    os.replace(name, name.with_name("aside"))
    caplog.clear()
    with caplog.at_level(logging.INFO, "s2s"):
        with alone(name):
            other = threading.Thread(target=lambda: found.append(open_store([path], root)))
            other.start()
            while "waiting for another process" not in caplog.text:
                other.join(0.05)
            assert not found
            os.replace(name.with_name("aside"), name)
        other.join(20)
    assert [len(store) for store in found] == [10]
    assert "mapped" not in caplog.text


def test_workers_read_the_same(path: Path, root: Path) -> None:
    """In a program of its own, since workers start by importing the main module."""
    script = (
        "import sys, pathlib\n"
        "from s2s.corpus.mapped import pieces, work\n"
        "from s2s.corpus.mapped.make import open_store\n"
        "if __name__ == '__main__':\n"
        "    pieces.LINES, work.cores = 3, lambda: 2\n"
        "    store = open_store([sys.argv[1]], pathlib.Path(sys.argv[2]))\n"
        "    print(store.sha256)\n"
    )
    main = path.with_name("main.py")
    main.write_text(script)
    done = subprocess.run(
        [sys.executable, str(main), str(path), str(root)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == open_store([path], root / "inline").sha256
