"""Published curves beside a grid's own, from a file that the command line names."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_tools import refused, s2s

GRID = """
base = "binary-addition"
[fixed]
training.epochs = "none"
training.updates = 4
training.validate_every = 2
training.plots = false
training.final_test = false
[grid]
training.seed = [1, 2]
[published]
curves = [{ task = "sums", model = "elman" }]
"""


def _grid(folder: Path, text: str = GRID) -> str:
    (folder / "grid.toml").write_text(text)
    (folder / "curves.csv").write_text("task,model,iteration,test_cost,test_accuracy\nsums,elman,0,1.0,50\n")
    return "grid.toml"


def test_curves_are_drawn_where_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = _grid(tmp_path)
    first = s2s("compare", grid, "--jobs", "1", "-o", "out")
    assert first.code == 0
    assert "elman (published)" not in (tmp_path / "out" / "report.md").read_text()
    again = s2s("compare", grid, "--report-only", "--published", "curves.csv", "-o", "out")
    assert again.code == 0
    assert "elman (published)" in (tmp_path / "out" / "report.md").read_text()
    assert not list((tmp_path / "out").glob("runs/*/scores.json"))  # final_test = false


def test_curves_that_the_grid_does_not_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = _grid(tmp_path, GRID[: GRID.index("[published]")])
    refused(s2s("compare", grid, "--published", "curves.csv", "-o", "out"), "--published", "names no curves")
    assert not (tmp_path / "out").exists()
