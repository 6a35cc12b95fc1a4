"""The examples of docs/dialogue.md run, in their order, and print what the text around them says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dialogue.md"


def test_the_examples_of_the_dialogue_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/dialogue.md", "exec"), names)
    said = capsys.readouterr().out
    assert "3 turns-tsv ('Knock, knock.', \"Who's there?\")" in said
    assert "3 dialogues: 1 empty turn cut out, 2 of one turn left out, 1 longer than 3 turns cut into 2" in said
    assert "Pair(source='⏎ Knock, knock.', target=\"Who's there?\")" in said
    assert "1 of 2 test dialogues share no two turns in a row" in said
    assert re.search(r"perplexity \d\.\d\d\n", said)
    assert "'most_frequent': 'i do not know', 'most_frequent_share': 0.66" in said
    assert "'unigram_f1': 0.5" in said
