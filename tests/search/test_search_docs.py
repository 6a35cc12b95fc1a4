"""The examples of docs/search.md run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

from s2s.config import Search

PAGE = Path(__file__).parents[2] / "docs" / "search.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_examples_run() -> None:
    assert len(EXAMPLES) == 5
    names: dict[str, object] = {"__name__": "example"}
    for source in EXAMPLES:
        exec(compile(source, str(PAGE), "exec"), names)


def test_the_page_names_keys_that_exist() -> None:
    named = set(re.findall(r"search\.(\w+)=", TEXT)) | set(re.findall(r"`(\w+)( = [^`]*)?`", TEXT.split("## From")[0]))
    keys = set(Search.model_fields)
    assert {name if isinstance(name, str) else name[0] for name in named} >= keys - {"batch_size", "beam"}
