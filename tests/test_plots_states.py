"""Maps of states: drawn, marked, and ordered by change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2s.plots import Panel, state_map
from s2s.plots.states import order_by_change


def ink(path: Path) -> float:
    from matplotlib.image import imread

    return float(1 - imread(path)[..., :3].mean())


def test_a_map_darkens_with_the_values(tmp_path: Path) -> None:
    for name, value in (("light", 0.1), ("dark", 0.9)):
        state_map(tmp_path / f"{name}.png", [Panel("gate", np.full((50, 20), value))])
    assert ink(tmp_path / "dark.png") > ink(tmp_path / "light.png") + 0.1


def test_events_leave_a_line_and_a_legend(tmp_path: Path) -> None:
    panels = [Panel("state", np.zeros((30, 8)), signed=True), Panel("input gate", np.zeros((30, 8)))]
    state_map(tmp_path / "plain.png", panels)
    state_map(tmp_path / "marked.png", panels, events={"half of the maximum": 15}, steps=list("a $" * 10), title="x")
    assert ink(tmp_path / "marked.png") > ink(tmp_path / "plain.png")


def test_units_are_ordered_by_when_they_change() -> None:
    values = np.zeros((10, 4))
    for unit, step in enumerate([7, 2, 5, 2]):
        values[step:, unit] = 1.0
    values[:, 3] *= -1
    assert order_by_change(values).tolist() == [3, 1, 2, 0]
    assert order_by_change(values[:1]).tolist() == [0, 1, 2, 3]


def test_maps_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one time axis"):
        state_map(tmp_path / "no.png", [Panel("a", np.zeros((3, 2))), Panel("b", np.zeros((4, 2)))])
