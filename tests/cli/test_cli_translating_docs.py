"""The commands and programs of docs/translating.md run as they are printed, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from cli_tools import ROOT, s2s

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(line: str) -> None:
    """One line of a shell: `s2s words... [< FILE] [> FILE]` in this process, anything else as it is."""
    words = shlex.split(line)
    if words[0] != "s2s":
        subprocess.run(["sh", "-euc", line], check=True, capture_output=True)
        return
    files = {sign: Path(words[words.index(sign) + 1]) for sign in "<>" if sign in words}
    given = [word for word in words[1:] if word not in files and Path(word) not in files.values()]
    done = s2s(*given, stdin=files["<"].read_bytes() if "<" in files else b"")
    assert done.code == 0, f"{line}\n{done.err}"
    if ">" in files:
        files[">"].write_text(done.out)


def test_the_page_runs(here: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "translating.md").read_text(encoding="utf-8"))
    assert len(blocks) > 7
    (here / "data").symlink_to(ROOT / "data")
    for language, text in blocks:
        if language == "python":
            exec(text, {})
        else:
            for line in text.splitlines():
                run(line)
    files = ("answers.en", "answers.align", "scores.tsv", "mono.de", "taught.en")
    lines = {name: (here / name).read_text().count("\n") for name in files}
    assert set(lines.values()) == {(here / "real.de").read_text().count("\n")}
