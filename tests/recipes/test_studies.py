"""Every study that travels with the package can be run as it is: its base, keys and space are valid."""

from __future__ import annotations

import pytest

from s2s.build.words import describe, find_study, recipes, studies
from s2s.config.io import read_toml
from s2s.errors import UserError
from s2s.sweeps.goal import read_goal
from s2s.sweeps.plan import combinations, read_plan

NAMES = sorted(studies())


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_valid_and_says_its_purpose_and_command(name: str) -> None:
    path = find_study(name)
    verb = "tune" if "space" in read_toml(path) else "compare"
    if verb == "tune":
        assert read_goal([name]).trials > 1
    else:
        assert len(combinations(read_plan([name]))) > 1
    assert len(describe(path)) > 20
    assert f"s2s {verb} {name}" in path.read_text(encoding="utf-8")


def test_names_of_studies_and_recipes_differ() -> None:
    assert NAMES
    assert not set(NAMES) & set(recipes())


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(UserError, match="neither a file nor a recipe"):
        find_study("no-such-study")
