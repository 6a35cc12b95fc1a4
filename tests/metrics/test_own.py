"""A function of the user's as a metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from s2s.errors import UserError
from s2s.metrics.own import apply_metric, load_metric


def gives(value: Any) -> Callable[[list[str], list[str], list[str]], Any]:
    return lambda *_: value


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.array(3.0), torch.tensor(3.0), True + 2])
def test_one_number(value: Any) -> None:
    assert apply_metric("python:m:f", gives(value), ["a"], ["b"], ["c"]) == 3.0


@pytest.mark.parametrize("value", [[1, 2.5], (1, 2.5), np.array([1, 2.5]), torch.tensor([1, 2.5])])
def test_a_number_a_sentence(value: Any) -> None:
    assert apply_metric("python:m:f", gives(value), ["a", "a"], ["b", "b"], ["c", "c"]) == [1.0, 2.5]


def test_texts_come_in_their_order() -> None:
    seen: list[Any] = []
    apply_metric("python:m:f", lambda *texts: seen.extend(texts) or 0, ["h"], ["r"], ["s"])
    assert seen == [["h"], ["r"], ["s"]]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (None, "gave None"),
        ("x" * 200, "...,"),
        (math.nan, "gave nan"),
        ([1.0, math.inf], "finite"),
        ([[1.0], [2.0]], "list of them"),
        ({"score": 1.0}, "gave {'score': 1.0}"),
        ([1.0], "1 numbers for 2 sentences"),
    ],
)
def test_anything_else_is_refused(value: Any, part: str) -> None:
    with pytest.raises(UserError, match="--metric python:m:f: ") as caught:
        apply_metric("python:m:f", gives(value), ["a", "a"], ["b", "b"], ["c", "c"])
    assert part in str(caught.value)


def test_a_module_that_breaks_on_import(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "breaks_on_import.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_metric("python:breaks_on_import:f")
    assert load_metric("python:math:sqrt") is math.sqrt
