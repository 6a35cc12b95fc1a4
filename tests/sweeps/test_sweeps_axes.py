"""Which words are axes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import UserError
from s2s.sweeps.axes import Axis, flat, nested, read_grid, read_words, split_values


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("lstm", ["lstm"]),
        ("lstm,gru", ["lstm", "gru"]),
        ("1, 2,3", ["1", "2", "3"]),
        ("[0.9,0.99]", ["[0.9,0.99]"]),
        ("[0.9,0.99],[0.5,0.9]", ["[0.9,0.99]", "[0.5,0.9]"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("{x=1,y=[2,3]},4", ["{x=1,y=[2,3]}", "4"]),
        ("", [""]),
        ("a,", ["a", ""]),
    ],
)
def test_commas_outside_brackets_and_quotes_cut(text: str, pieces: list[str]) -> None:
    assert split_values(text) == pieces


@given(st.lists(st.sampled_from(["1", "[1,2]", '"a,b"', "'x]'", "{a=[1,{b=2}]}", "lstm"]), min_size=1, max_size=6))
def test_pieces_joined_come_apart_again(pieces: list[str]) -> None:
    assert split_values(",".join(pieces)) == pieces


def test_words_are_inputs_fixed_keys_and_axes() -> None:
    found = read_words(["date-attention", "model.core=lstm,rwa", "training.betas=[0.9,0.99]", "training.epochs=3"])
    assert found.inputs == ("date-attention",)
    assert found.fixed == {"training.betas": [0.9, 0.99], "training.epochs": 3}
    assert found.axes == (Axis("model.core", ("lstm", "rwa")),)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["model.core=lstm,gru", "model.core=rwa,sru"], ["model.core", "given twice"]),
        (["model.layers=1", "model.layers=2"], ["model.layers", "given twice"]),
        (["model.core=lstm,"], ["model.core=lstm,", "empty value"]),
        (["model.layers=1,2,1"], ["model.layers", "1 stands twice"]),
    ],
)
def test_words_that_are_refused(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_words(words)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ({"model": {"core": []}}, ["model.core", "without values"]),
        ({"model": {"core": "lstm"}}, ["model.core = 'lstm'", "list", "[fixed]"]),
        ({"model.core": ["gru"], "model": {"core": ["lstm"]}}, ["model.core", "given twice"]),
        ({"training": {"seed": [1, 2, 2]}}, ["training.seed", "twice"]),
    ],
)
def test_grids_that_are_refused(table: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_grid(table, "grid.toml")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_true_and_one_are_two_values() -> None:
    assert read_grid({"a": [1, True]}, "x")[0].values == (1, True)


KEYS = st.dictionaries(st.sampled_from(["a.b", "a.c", "d", "e.f.g", "e.f.h"]), st.integers() | st.lists(st.integers()))


@given(KEYS)
def test_nested_and_flat_are_inverse(keys: dict[str, Any]) -> None:
    assert flat(nested(keys), "x") == keys


def test_a_leaf_stays_a_table() -> None:
    tree = {"model": {"core": {"type": "categorical", "choices": ["lstm"]}}}
    assert flat(tree, "x", leaf=lambda table: "type" in table) == {
        "model.core": {"type": "categorical", "choices": ["lstm"]}
    }
