"""The examples of docs/data.md run, in their order, and print what the text around them says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_examples_of_the_data_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/data.md", "exec"), names)
    said = capsys.readouterr().out
    assert len(blocks) == 7
    assert "62 tsv Pair(source='Guten Morgen!', target='Good morning!')" in said
    assert "('de', 'en') ('de', 'en')" in said
    assert re.search(r"dropped \d+ of 62 pairs: \d+ longer than 5 source tokens", said)
    assert "52 10 none of the 10 test pairs stands in the training set" in said
    assert "Good evening!" in said
    assert "DIR/test_2016_flickr.de.gz" in said
