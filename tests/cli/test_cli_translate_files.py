"""`s2s translate`: files and streams, text and JSON lines; nothing half-written, nothing waited for."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import refused, s2s, snapshot, started

LINES = b"May 1, 2001\n\nJUNE 9, 1975\n"


class TestFiles:
    def test_in_and_out(self, dates: Path, here: Path) -> None:
        (here / "in.txt").write_bytes(LINES)
        (here / "in.txt.gz").write_bytes(gzip.compress(LINES))
        wanted = s2s("translate", dates, stdin=LINES).out
        for name in ("in.txt", "in.txt.gz"):
            assert s2s("translate", dates, "-i", name, "-o", "out.txt") == (0, "", "")
            assert (here / "out.txt").read_text() == wanted
        assert s2s("translate", dates, "-i", "-", "-o", "-", stdin=LINES).out == wanted

    def test_a_file_may_be_answered_in_its_place(self, dates: Path, here: Path) -> None:
        (here / "text").write_bytes(LINES)
        assert s2s("translate", dates, "-i", "text", "-o", "text").code == 0
        assert (here / "text").read_text() == s2s("translate", dates, stdin=LINES).out

    def test_devices_and_links_stay_what_they_are(self, dates: Path, here: Path) -> None:
        (here / "link").symlink_to(here / "real")
        assert s2s("translate", dates, "-o", "link", stdin=LINES).code == 0
        assert (here / "link").is_symlink()
        assert (here / "real").read_text() == s2s("translate", dates, stdin=LINES).out
        assert s2s("translate", dates, "-o", os.devnull, stdin=LINES) == (0, "", "")
        assert not Path(os.devnull).is_file()

    @pytest.mark.parametrize(
        ("words", "stdin", "parts"),
        [
            (("-i", "missing.txt"), b"", ["missing.txt: can't be read", "No such file"]),
            (("-i", "folder"), b"", ["folder: can't be read", "directory"]),
            (("-i", "no.gz"), b"", ["no.gz: broken gzip data"]),
            (("-i", "cut.gz"), b"", ["cut.gz: broken gzip data"]),
            (("-i", "latin"), b"", ["latin, line 2: not UTF-8", "iconv"]),
            (("-o", "folder"), LINES, ["--output folder: can't be written", "directory"]),
            (("-o", "missing/out"), LINES, ["--output missing/out: can't be written"]),
            ((), b"a\n" * 3000 + b"\xfc\n", ["standard input, line 3001: not UTF-8"]),
            (("--input-format", "json"), b'{"text": "a"}\n\n', ["line 2: not valid JSON"]),
            (("--input-format", "json"), b'{"text": "a"}\n[1]\n', ["line 2: got no object"]),
            (("--input-format", "json"), b'{"source": "a"}\n', ["line 1: got the keys 'source'", 'under "text"']),
            (("--input-format", "json"), b'{"text": "a", "prefix": 3}\n', ["line 1", '"prefix" must be a text']),
            (("--input-format", "json"), b'{"text": "a", "banned": "b"}\n', ["line 1", "lists of texts"]),
            (("--input-format", "json"), b'{"text": 3}\n', ["line 1: got the keys 'text'"]),
        ],
        ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
    )
    def test_nothing_is_half_written(
        self, dates: Path, here: Path, words: tuple[str, ...], stdin: bytes, parts: list[str]
    ) -> None:
        (here / "folder").mkdir()
        (here / "no.gz").write_bytes(b"plain")
        (here / "cut.gz").write_bytes(gzip.compress(LINES * 9)[:-9])
        (here / "latin").write_bytes(b"a\n\xfc\n")
        (here / "old").write_text("old")
        before = snapshot(here)
        output = () if "-o" in words else ("-o", "old")
        refused(s2s("translate", dates, *words, *output, stdin=stdin), *parts)
        assert snapshot(here) == before


class TestJsonLines:
    def test_unknown_fields_are_handed_through(self, dates: Path, here: Path) -> None:
        rows = [{"id": 7, "text": "May 1, 2001", "é": [None, {"x": "\u2028"}]}, {"text": "", "score": "mine"}]
        (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for name in ("out.jsonl", None):
            said = s2s("translate", dates, "-i", "in.jsonl", *(("-o", name) if name else ())).out
            found = [json.loads(line) for line in (said or (here / "out.jsonl").read_text()).strip("\n").split("\n")]
            assert [row["source"] for row in found] == ["May 1, 2001", ""]
            assert found[0]["id"] == 7
            assert found[0]["é"] == [None, {"x": "\u2028"}]
            assert found[1]["text"] == ""
            assert found[1]["score"] == 0.0
        texts = s2s("translate", dates, stdin=LINES).out.splitlines()
        assert found[0]["text"] == texts[0]
        s2s("translate", dates, "-i", "in.jsonl", "-o", "out.txt")
        assert (here / "out.txt").read_text().splitlines() == texts[:2]

    def test_tokens_and_constraints_of_a_line(self, dates: Path) -> None:
        rows = [{"text": "May 1, 2001"}, {"text": "May 1, 2001", "prefix": "1999-", "banned": ["0"]}, {"text": ""}]
        stdin = "".join(json.dumps(row) + "\n" for row in rows).encode()
        words = ("--input-format", "json", "--alignments", os.devnull)
        found = [json.loads(line) for line in s2s("translate", dates, *words, stdin=stdin).out.splitlines()]
        assert found[1]["text"].startswith("1999-")
        assert "0" not in found[1]["text"]
        for row in found:
            (best,) = row["translations"]
            assert "".join(best["pieces"]) == row["text"]
            assert len(best["alignment"]) == len(best["pieces"])
            assert sum(best["token_scores"]) == pytest.approx(best["log_probability"], abs=1e-4)

    def test_characters_that_utf8_cannot_write(self, dates: Path) -> None:
        result = s2s("translate", dates, "--input-format", "json", stdin=b'{"text": "a \\ud83d b", "id": "\\udc00"}\n')
        assert (result.code, result.err) == (0, "")
        assert json.loads(result.out)["source"] == "a \ud83d b"

    def test_answers_can_be_asked_on(self, dates: Path) -> None:
        once = s2s("translate", dates, "--json", stdin=LINES).out
        twice = s2s("translate", dates, "--input-format", "json", stdin=once.encode())
        assert (twice.code, twice.err) == (0, "")
        assert [json.loads(line)["source"] for line in twice.out.splitlines()] == s2s(
            "translate", dates, stdin=LINES
        ).out.split("\n")[:3]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_lines_are_answered_as_they_come(dates: Path, here: Path) -> None:
    wanted = s2s("translate", dates, stdin=LINES).out.splitlines(keepends=True)
    with started(("translate", dates), here, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            for given, answer in zip(LINES.splitlines(keepends=True), wanted, strict=True):
                process.stdin.write(given[:4])
                process.stdin.flush()
                process.stdin.write(given[4:])
                process.stdin.flush()
                assert process.stdout.readline().decode() == answer  # while the input is still open
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(60) == 0
