"""The commands and programs of docs/mixing.md run as they are printed, one after the other."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from cli_tools import ROOT
from test_cli_translating_docs import BLOCK, run

from s2s.config.io import check

PAGE = ROOT / "docs" / "mixing.md"


def test_the_page_of_the_mix_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 4
    (here / "data").symlink_to(ROOT / "data")
    for language, text in blocks:
        if language == "python":
            exec(text, {})
        else:
            for line in text.splitlines():
                run(line)
    assert "[('de', 'en'), ('en', 'de')]" in capsys.readouterr().out
    assert (here / "answer.de").read_text().count("\n") == 1


def test_the_configuration_of_the_page_is_valid() -> None:
    text = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    assert check(tomllib.loads(text), "page").data.mix[0].weight == 3
