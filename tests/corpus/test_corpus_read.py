"""Reading pairs: every format, `.gz`, standard input, and every kind of bad input with the message that helps."""

from __future__ import annotations

import gzip
import io
import json
import re
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.corpus.formats import guess_format
from s2s.corpus.read import Format, Pair, languages_of, read_pairs
from s2s.errors import UserError

Write = Callable[..., Path]
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "phrases.de-en.tsv"
PAIRS = [Pair("ein Haus", "a house"), Pair("zwei Häuser", "two houses")]
TSV = "ein Haus\ta house\nzwei Häuser\ttwo houses\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))


# ---- formats ----


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.gz", "pairs.txt", "pairs", "PAIRS.TSV"])
def test_tsv(name: str, write: Write) -> None:
    path = write(name, TSV)
    result = read_pairs([path])
    assert result.pairs == PAIRS
    assert (result.bad, result.where, result.format) == (0, str(path), "tsv")


def test_gzip_is_known_by_its_content_too(write: Write) -> None:
    assert read_pairs([write("pairs.tsv", gzip.compress(TSV.encode()))]).pairs == PAIRS


@pytest.mark.parametrize("content", ["\ufeff" + TSV, TSV.replace("\n", "\r\n"), TSV.rstrip("\n"), TSV + "\n\r\n \n"])
def test_byte_order_mark_line_ends_and_trailing_empty_lines(content: str, write: Write) -> None:
    assert read_pairs([write("pairs.tsv", content)]).pairs == PAIRS


def test_only_line_feeds_end_a_line(write: Write) -> None:
    marks = "\u2028\u2029\x85\x0b\x0c\x1c\r."
    assert read_pairs([write("pairs.tsv", f"a{marks}b\tc\n")]).pairs == [Pair(f"a{marks}b", "c")]
    sides = write("a.de", f"a{marks}\nb\n"), write("a.en", "c\nd\n")
    assert read_pairs(sides).pairs == [Pair(f"a{marks}", "c"), Pair("b", "d")]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json.gz", "pairs.txt"])
def test_json_lines(name: str, write: Write) -> None:
    lines = [{"source": "ein Haus", "target": "a house", "id": 1}, {"src": "zwei Häuser", "tgt": "two houses"}]
    result = read_pairs([write(name, "\n".join(json.dumps(line) for line in lines))])
    assert (result.pairs, result.format) == (PAIRS, "jsonl")


def test_json_lines_with_the_usual_keys_beside_language_keys(write: Write) -> None:
    lines = [{"de": "ein Haus", "en": "a house", "source": "x"}, {"source": "zwei Häuser", "target": "two houses"}]
    path = write("pairs.jsonl", "\n".join(json.dumps(line) for line in lines))
    assert read_pairs([path], source_key="de", target_key="en").pairs == PAIRS


def test_json_lines_of_translations(write: Write) -> None:
    path = write("pairs.jsonl", '{"translation": {"de": "ein Haus", "en": "a house"}}\n')
    assert read_pairs([path], source_key="de", target_key="en").pairs == PAIRS[:1]
    assert read_pairs([path], source_key="en", target_key="de").pairs == [Pair("a house", "ein Haus")]
    with pytest.raises(
        UserError, match=r"line 1: found the keys 'translation', 'translation\.de', 'translation\.en' \(l"
    ):
        read_pairs([path])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_parallel_files(suffix: str, write: Write) -> None:
    paths = [write(f"train.de{suffix}", "ein Haus\nzwei Häuser\n"), write("train.en", "a house\ntwo houses\n")]
    result = read_pairs(paths)
    assert (result.pairs, result.format) == (PAIRS, "parallel")
    assert result.where == f"{paths[0]} and {paths[1]}"


def test_parallel_files_keep_empty_lines_for_the_filters(write: Write) -> None:
    assert read_pairs([write("a.de", "x\n\n\n"), write("a.en", "\ny\n\n")]).pairs == [("x", ""), ("", "y"), ("", "")]


BOOK = ["september 27, 1994           _1994-09-27", "August 19, 2003              _2003-08-19"]


@pytest.mark.parametrize("lines", [BOOK, BOOK[:1], [*BOOK, ""], ["16+75  _91  ", "52+607 _659 ", "1+1    _2"]])
def test_fixed_width_is_recognised(lines: list[str], write: Write) -> None:
    result = read_pairs([write("date.txt", "\n".join(lines) + "\n")])
    assert result.format == "fixed"
    assert result.pairs == [Pair(*(side.rstrip() for side in line.split("_"))) for line in lines if line]


@pytest.mark.parametrize(
    "lines",
    [
        ["snake_case"],
        ["a _b", "ab _c"],
        ["a _b", "a b"],
        ["a _b_", "a _c_"],
        ["a\t_b", "b\t_c"],
        ["_a", "_b"],
        [],
    ],
)
def test_what_is_not_fixed_width(lines: list[str]) -> None:
    assert guess_format(lines) == "tsv"


def test_a_format_that_is_named_wins(write: Write) -> None:
    assert read_pairs([write("a.tsv", "x_y\n")], format="fixed").pairs == [Pair("x", "y")]
    assert read_pairs([write("b.json", "x\ty\n")], format="tsv").pairs == [Pair("x", "y")]
    assert read_pairs([write("a.tsv", "x\n"), write("b.tsv", "y\n")], format="parallel").pairs == [Pair("x", "y")]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    give_stdin(monkeypatch, TSV.encode())
    result = read_pairs(["-"])
    assert (result.pairs, result.where) == (PAIRS, "standard input")
    give_stdin(monkeypatch, gzip.compress(TSV.encode()))
    assert read_pairs(["-"]).pairs == PAIRS
    give_stdin(monkeypatch, b"a house\ntwo houses\n")
    assert read_pairs([write("a.de", "ein Haus\nzwei Häuser\n"), "-"]).pairs == PAIRS


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]))] * 2)))
def test_tsv_keeps_every_text(tmp_path_factory: pytest.TempPathFactory, sides: list[tuple[str, str]]) -> None:
    pairs = [Pair("first", "line"), *(Pair(*side) for side in sides), Pair("last", "line")]
    path = tmp_path_factory.mktemp("tsv") / "pairs.tsv"
    path.write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in pairs), encoding="utf-8", newline="\n")
    assert read_pairs([path]).pairs == pairs


# ---- bad lines ----


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "a\tb\nc\n", "line 2: found 1 column, expected two columns with one tab between them. Mend"),
        ("a.tsv", "a\tb\tc\nd\te\n", "line 1: found 3 columns, expected two columns"),
        ("a.tsv", "a\tb\n\nc\td\n", "line 2: found an empty line, expected two columns"),
        (
            "a.tsv",
            "\n\na\tb\nc\td\n",
            "line 1: found an empty line, expected two columns with one tab between them (2 of 4",
        ),
        ("a.csv", "a,b\n", "line 1: found 1 column, expected two columns"),
        ("a.jsonl", '{"source": "a"\n', "line 1: found no valid JSON, expected one object a line such as"),
        ("a.jsonl", '{"source": "a", "target": 3.5}', "line 1: found 'target' with a number, not a text"),
        ("a.jsonl", '{"source": null, "target": "b"}', "line 1: found 'source' with null, not a text"),
        ("a.jsonl", '{"source": {}, "target": "b"}', "line 1: found 'source' with an object, not a text"),
        ("a.jsonl", '{"source": "a", "target": "\\ud800"}', "found 'target' with half of a surrogate pair"),
        ("a.jsonl", '{"a": "b"}', "line 1: found the keys 'a' (looked for 'source' and 'target')"),
        ("a.jsonl", "{}", "line 1: found the keys of an empty object"),
        ("a.jsonl", '["a", "b"]', "line 1: found a list, not an object"),
        ("a.jsonl", '"a"', "line 1: found a text, not an object"),
        ("a.jsonl", "[" * 100_000, "line 1: found no valid JSON"),
        ("a.jsonl", '{"src": "a", "tgt": "b"}\n\n{}', "line 2: found an empty line"),
    ],
)
def test_a_bad_line_is_named(name: str, content: str, message: str, write: Write) -> None:
    path = write(name, content)
    with pytest.raises(
        UserError, match=re.escape(f"{path}, {message}" if message.startswith("line") else message)
    ) as got:
        read_pairs([path])
    assert "--skip-bad" in str(got.value)


def test_a_bad_line_of_fixed_width(write: Write) -> None:
    with pytest.raises(UserError, match=r'line 2: found 2 signs "_", expected a source, "_" and a target'):
        read_pairs([write("a.txt", "a _b\na _b_\n\n")], format="fixed")


@pytest.mark.parametrize(
    ("name", "content", "format", "bad"),
    [
        ("a.tsv", "a\tb\n\nc\nd\te\tf\ng\th\n\n", "auto", 3),
        ("a.jsonl", '{"src": "a", "tgt": "b"}\n\nx\n{"src": "g", "tgt": "h"}', "auto", 2),
        ("a.txt", "a _b\n\nx\ng _h\n", "fixed", 2),
    ],
)
def test_skip_bad_counts_instead(name: str, content: str, format: Format, bad: int, write: Write) -> None:
    result = read_pairs([write(name, content)], format=format, skip_bad=True)
    assert result.pairs == [Pair("a", "b"), Pair("g", "h")]
    assert result.bad == bad


# ---- bad files ----


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "-"])
def test_not_utf8(name: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"ein Haus\ta house\nzwei H\xe4user\ttwo houses\n"
    give_stdin(monkeypatch, content)
    path = name if name == "-" else write(name, content)
    shown = "standard input" if name == "-" else str(path)
    with pytest.raises(UserError) as got:
        read_pairs([path], skip_bad=True)
    assert f"{shown}, line 2: not UTF-8 (byte 0xe4 at offset 23)" in str(got.value)
    assert "iconv -f ISO-8859-1 -t UTF-8" in str(got.value)


def test_utf16_is_guessed(write: Write) -> None:
    with pytest.raises(UserError, match=r"line 1: not UTF-8 \(byte 0xff at offset 0\)\. .*iconv -f UTF-16 -t UTF-8"):
        read_pairs([write("a.tsv", TSV.encode("utf-16"))])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.tsv: no such file\. Check the path"):
        read_pairs([tmp_path / "none.tsv"])
    with pytest.raises(UserError, match=r"is a folder, a file was expected\. Name the file inside it"):
        read_pairs([tmp_path])
    with pytest.raises(UserError, match="cannot be read"):
        read_pairs([tmp_path / ("x" * 300)])


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \n"])
@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl", "a.txt", "a.tsv.gz"])
def test_empty_corpus(name: str, content: str, write: Write) -> None:
    with pytest.raises(UserError, match=r"empty, no pairs to read\. Give a file with at least one pair"):
        read_pairs([write(name, content)])


def test_empty_parallel_files_and_standard_input(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="empty, no pairs to read"):
        read_pairs([write("a.de", ""), write("a.en", "")])
    give_stdin(monkeypatch, b"")
    with pytest.raises(UserError, match="standard input: empty"):
        read_pairs(["-"])


def test_nothing_but_bad_lines(write: Write) -> None:
    with pytest.raises(UserError, match=r"none of 2 lines is a pair\. Check the format, read as tsv"):
        read_pairs([write("a.tsv", "a\nb\n")], skip_bad=True)


def test_broken_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(TSV.encode())
    with pytest.raises(UserError, match=r"ends in \.gz but is not gzip data\. Take the suffix off"):
        read_pairs([path])
    whole = gzip.compress(TSV.encode())
    for broken in (whole[:-9], whole[:12], whole[:20] + b"\0\0\0" + whole[23:], whole + b"rest"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"is broken gzip data \(.*\)\. Fetch or compress the file again"):
            read_pairs([path])


def test_different_line_counts(write: Write) -> None:
    de, en = write("a.de", "x\n" * 1200), write("a.en", "y\n" * 1199)
    with pytest.raises(UserError) as got:
        read_pairs([de, en])
    assert f"same number of lines: {de} has 1,200, {en} has 1,199." in str(got.value)


@pytest.mark.parametrize(
    ("paths", "format", "message"),
    [
        ([], "auto", "got 0 files; give one file of pairs, or two parallel files"),
        (["a", "b", "c"], "auto", "got 3 files"),
        (["-", "-"], "auto", r"standard input \(-\) was given twice"),
        (["a.de"], "parallel", r"format parallel needs two files \(source, target\), got only a\.de"),
        (["a", "b"], "tsv", "format tsv is one file with both sides, got two: a and b"),
        (["a.tsv", "b.tsv"], "auto", "each look like a file of pairs.*Join them into one file, or say format=parallel"),
    ],
)
def test_paths_that_do_not_fit(paths: list[str], format: Format, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_pairs(paths, format=format)


# ---- languages, the sample ----


@pytest.mark.parametrize(
    ("paths", "languages"),
    [
        (["x/train.de.gz", "x/train.en"], ("de", "en")),
        (["train.pt_BR.txt", "train.zh_Hans.txt.gz"], ("pt_BR", "zh_Hans")),
        (["news.de-en.tsv"], ("de", "en")),
        (["de-en.tsv.gz"], ("de", "en")),
        (["a.b-c.tsv"], (None, None)),
        (["pairs.tsv"], (None, None)),
        (["train.src", "train.tgt"], (None, None)),
        (["train.de", "train.txt"], ("de", None)),
        (["de", "en"], (None, None)),
        (["-"], (None, None)),
        ([], (None, None)),
    ],
)
def test_languages_of(paths: list[str], languages: tuple[str | None, str | None]) -> None:
    assert languages_of(paths) == languages


def test_the_sample_of_the_project() -> None:
    result = read_pairs([SAMPLE])
    assert len(result.pairs) == len(set(result.pairs)) == 62
    assert Pair("Guten Morgen!", "Good morning!") in result.pairs
    assert languages_of([SAMPLE]) == ("de", "en")
