"""The examples of docs/tasks.md run, in their order, and its table says what the tasks are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s2s.tasks import make_task

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def test_the_examples_of_the_tasks_page(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(compile(block, "docs/tasks.md", "exec"), names)
    said = capsys.readouterr().out
    assert "(3, 20, 2) (3, 1) ['first marked', 'second marked']\nPublished: " in said
    assert said.endswith("100 True\n")


@pytest.mark.parametrize("name", ["bit-count", "binary-addition", "length", "adding", "copy", "reber"])
def test_the_table_has_the_sizes(name: str) -> None:
    task = make_task(name, seed=1)  # type: ignore[arg-type]
    row = re.search(rf"^\| `{name}` .*\| (.*?) \|$", PAGE, re.M)
    assert row
    sizes = ", ".join(f"{len(rows):,}" for rows in task.splits[:3])
    assert row[1] == (sizes if task.splits.whole is None else f"{sizes}: all {len(task.splits.whole):,}")
