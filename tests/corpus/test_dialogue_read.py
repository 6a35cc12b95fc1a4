"""Dialogues from files: each format, what is recognised, and the line number of whatever is wrong."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.dialogue.read import Dialogue, dialogues_hash, read_dialogues
from s2s.corpus.formats import Format
from s2s.corpus.read import read_pairs
from s2s.corpus.split import hold_out
from s2s.errors import UserError

LINES = """\
L1 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++ Can we make this quick?
L2 +++$+++ u2 +++$+++ m0 +++$+++ CAMERON +++$+++ Caf\xe9?
L3 +++$+++ u0 +++$+++ m0 +++$+++ BIANCA +++$+++
"""
TALKS = "u0 +++$+++ u2 +++$+++ m0 +++$+++ ['L1', 'L2', 'L3']\nu0 +++$+++ u2 +++$+++ m0 +++$+++ ['L2', 'L1']\n"
TURN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


def write(folder: Path, name: str, content: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    data = content.encode(encoding)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def dialogues(path: Path, format: Format = "auto") -> list[Dialogue]:
    return read_dialogues([path], format=format).dialogues


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.txt", "a"])
def test_turns_with_tabs(name: str, tmp_path: Path) -> None:
    found = read_dialogues([write(tmp_path, name, "Hi .\tHello !\tBye .\r\n Yes ?\tNo .\n\n")])
    assert found.dialogues == [("Hi .", "Hello !", "Bye ."), (" Yes ?", "No .")]
    assert (found.bad, found.format) == (0, "turns-tsv")


def test_the_ends_of_turns_in_dailydialogs_own_files(tmp_path: Path) -> None:
    path = write(tmp_path, "dialogues.txt", "Hi . __eou__ Hello ! __eou__\nA\u00a0b __eou__  __eou__ c __eou__\n")
    assert dialogues(path) == [("Hi .", "Hello !"), ("A\u00a0b", "", "c")]


def test_parlais_episodes_and_plain_lists(tmp_path: Path) -> None:
    exchange = [{"id": "a", "text": "Hi", "episode_done": False}, {"id": "b", "text": "Hello\tyou"}]
    lines = [
        {"dialog": [exchange, [{"id": "a", "text": "Bye"}, {"id": "b", "text": ""}]]},
        {"dialogue": ["Hi", "Bye"], "topic": 3},
        ["Hi", "Hello"],
        {"dialog": exchange},
    ]
    expected = [("Hi", "Hello\tyou", "Bye", ""), ("Hi", "Bye"), ("Hi", "Hello"), ("Hi", "Hello\tyou")]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    for name in ("a.jsonl", "a.json.gz", "unnamed"):
        assert dialogues(write(tmp_path, name, text)) == expected


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8"])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_cornells_files(encoding: str, gz: str, tmp_path: Path) -> None:
    files = [
        write(tmp_path, f"movie_lines.txt{gz}", LINES, encoding),
        write(tmp_path, f"movie_conversations.txt{gz}", TALKS, encoding),
    ]
    for format in ("auto", "cornell"):
        found = read_dialogues(files, format=format)  # type: ignore[arg-type]
        assert found.dialogues == [("Can we make this quick?", "Café?", ""), ("Café?", "Can we make this quick?")]
        assert found.format == "cornell"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["a", "b"]\n')))
    found = read_dialogues(["-"])
    assert (found.dialogues, found.where, found.format) == ([("a", "b")], "standard input", "turns-jsonl")


def test_a_named_format_wins_over_the_suffix(tmp_path: Path) -> None:
    assert dialogues(write(tmp_path, "a.tsv", '["a", "b"]\n'), "turns-jsonl") == [("a", "b")]
    assert dialogues(write(tmp_path, "a.jsonl", '["a"]\tb\n'), "turns-tsv") == [('["a"]', "b")]


def test_a_text_that_begins_with_a_bracket_is_no_json(tmp_path: Path) -> None:
    assert dialogues(write(tmp_path, "a.txt", "[door opens]\tHello?\n")) == [("[door opens]", "Hello?")]


def test_one_turn_an_empty_turn_and_a_thousand_are_read_as_they_are(tmp_path: Path) -> None:
    long = tuple(f"turn {number}" for number in range(1_000))
    path = write(tmp_path, "a.tsv", "\n".join(["alone", "a\t\tb", "\t".join(long)]))
    assert dialogues(path) == [("alone",), ("a", "", "b"), long]


@given(st.lists(st.lists(TURN, min_size=1, max_size=4), min_size=1, max_size=5))
def test_what_is_written_as_json_lines_is_read(tmp_path_factory: pytest.TempPathFactory, told: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "told.jsonl"
    path.write_text("".join(json.dumps(turns) + "\n" for turns in told))
    assert dialogues(path) == [tuple(turns) for turns in told]


@pytest.mark.parametrize(
    ("name", "line", "found"),
    [
        ("a.tsv", "", "found an empty line, expected the turns of one dialogue with a tab between"),
        ("a.jsonl", "{", "found no valid JSON, expected the turns of one dialogue, such as"),
        ("a.jsonl", '{"source": "a", "target": "b"}', "found an object without 'dialog' or 'dialogue'"),
        ("a.jsonl", '"a"', "found a text where a list of turns should stand"),
        ("a.jsonl", '{"dialog": 3}', "found a number where a list of turns should stand"),
        ("a.jsonl", "[]", "found no turns"),
        ("a.jsonl", '["a", 7]', "found a number where a turn should stand"),
        ("a.jsonl", '[["a", "b"], ["c", "d"]]', "found a list where a turn should stand"),
        ("a.jsonl", '[{"id": "a"}]', "found an object without a 'text'"),
        ("a.jsonl", r'["\ud800"]', "found half of a surrogate pair"),
    ],
)
def test_a_bad_line(name: str, line: str, found: str, tmp_path: Path) -> None:
    good = '["a", "b"]' if name.endswith("jsonl") else "a\tb"
    path = write(tmp_path, name, f"{good}\n{line}\n{good}\n{line}\n{good}\n")
    with pytest.raises(UserError) as got:
        dialogues(path)
    assert f"{name}, line 2: {found}" in str(got.value)
    assert "(2 of 5 lines are bad)" in str(got.value)
    skipped = read_dialogues([path], skip_bad=True)
    assert (len(skipped.dialogues), skipped.bad) == (3, 2)


@pytest.mark.parametrize(
    ("lines", "talks", "found"),
    [
        (LINES + "L4 +++$+++ text\n", TALKS, "movie_lines.txt, line 4: found 2 fields, expected the signs"),
        (LINES, TALKS + "u0\n", "movie_conversations.txt, line 3: found 1 field, expected"),
        (LINES, "u0 +++$+++ u2 +++$+++ m0 +++$+++ nothing\n" + TALKS, "line 1: found no list of lines"),
        (LINES, "u0 +++$+++ u2 +++$+++ m0 +++$+++ [['L1']]\n" + TALKS, "line 1: found no list of lines"),
        (LINES, TALKS.replace("L3", "L9"), "line 1: found the line 'L9', which there is not"),
    ],
)
def test_a_bad_line_of_cornells(lines: str, talks: str, found: str, tmp_path: Path) -> None:
    files = [write(tmp_path, "movie_lines.txt", lines), write(tmp_path, "movie_conversations.txt", talks)]
    with pytest.raises(UserError) as got:
        read_dialogues(files)
    assert found in str(got.value)
    assert read_dialogues(files, skip_bad=True).bad == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "empty, no dialogues to read"), ("\n\n", "empty, no dialogues to read")],
)
def test_no_dialogues(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        dialogues(write(tmp_path, "a.tsv", content))


def test_nothing_but_bad_lines(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of 2 lines is a dialogue"):
        read_dialogues([write(tmp_path, "a.jsonl", "1\n2\n")], skip_bad=True)


def test_other_encodings_are_cornells_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.tsv, line 2: not UTF-8 \(byte 0xe9"):
        dialogues(write(tmp_path, "a.tsv", "a\tb\nCaf\xe9\tb\n", "iso-8859-1"))


@pytest.mark.parametrize(
    ("files", "format", "message"),
    [
        (1, "tsv", "format tsv is of pairs, expected one of dialogues"),
        (1, "cornell", "got 1 files, expected Cornell's two"),
        (2, "turns-tsv", "got 2 files, expected one with a dialogue a line"),
        (3, "auto", "got 3 files, expected one"),
    ],
)
def test_files_that_do_not_go_with_the_format(files: int, format: Format, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_dialogues([write(tmp_path, "a.tsv", "a\tb\n")] * files, format=format)


@pytest.mark.parametrize(("name", "content"), [("movie_lines.txt", LINES), ("movie_conversations.txt", TALKS)])
@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_half_of_cornells_files_is_told(name: str, content: str, encoding: str, tmp_path: Path) -> None:
    half = write(tmp_path, name, content, encoding)
    with pytest.raises(UserError, match=r"one of Cornell's two files.* movie_lines\.txt, then movie_conv"):
        read_dialogues([half])


def test_cornells_files_in_the_wrong_order(tmp_path: Path) -> None:
    files = [write(tmp_path, "movie_conversations.txt", TALKS), write(tmp_path, "movie_lines.txt", LINES)]
    with pytest.raises(UserError, match=r"conversations stand before the lines, .* in this order"):
        read_dialogues(files, skip_bad=True)


def test_formats_of_dialogues_are_refused_for_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="format turns-tsv is of dialogues, expected one of pairs"):
        read_pairs([write(tmp_path, "a.tsv", "a\tb\n")], format="turns-tsv")


def test_the_hash_knows_where_a_dialogue_ends() -> None:
    told = [("a", "b"), ("c", "d")]
    assert dialogues_hash(told) == dialogues_hash(list(told))
    assert len({dialogues_hash(other) for other in (told, [("a", "b", "c", "d")], [("a",), ("b", "c", "d")])}) == 3


def test_dialogues_are_held_out_with_those_that_begin_alike() -> None:
    told: list[Dialogue] = [(f"Hello {number // 2}", "Hi", f"{number}") for number in range(40)]
    train, held = hold_out(told, count=10, seed=1)
    assert (len(train), len(held)) == (30, 10)
    assert not {dialogue[0] for dialogue in train} & {dialogue[0] for dialogue in held}
