"""The files that docs/sweeps.md prints are right, and so is its command."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

from s2s.sweeps.goal import read_goal
from s2s.sweeps.plan import combinations, read_plan
from s2s.sweeps.spec import CompareFile, checked

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_what_the_page_prints(tmp_path: Path) -> None:
    grid, sets, _, space = FILES
    (tmp_path / "sets.toml").write_text(sets)
    (tmp_path / "grid.toml").write_text(grid)
    (tmp_path / "space.toml").write_text(space)
    command = re.search(r"^s2s compare (.*) -o", PAGE, re.MULTILINE)
    assert command is not None
    by_words = combinations(read_plan(shlex.split(command[1])))
    assert combinations(read_plan([str(tmp_path / "grid.toml")])) == by_words
    assert len(by_words) == 9
    sizes = {
        (one.config.model.core, one.config.model.hidden_size)
        for one in combinations(read_plan([str(tmp_path / "sets.toml")]))
    }
    assert sizes == {("lstm", 124), ("rwa", 250)}
    assert read_goal([str(tmp_path / "space.toml")]).direction == "maximize"


def test_the_published_curves_of_the_page() -> None:
    tree = {"base": "x", "grid": {"model.core": ["rwa"]}, **tomllib.loads(FILES[2])}
    published = checked(tree, CompareFile, "page").published
    assert published is not None
    assert published.curves[0].where == {"model": {"core": "rwa"}}
