"""A metric of the user's own, a neural one for instance: a function that the command line names."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from s2s.errors import UserError

Function = Callable[[list[str], list[str], list[str]], Any]
"""(hypotheses, references, sources) -> one number for all, or one a sentence."""


def load_metric(word: str) -> Function:
    """The function that `python:package.module:function` names.

    Raises:
        UserError: the word looks otherwise, or there is no such module or function.
    """
    module, _, name = word.removeprefix("python:").partition(":")
    if not (word.startswith("python:") and module and name):
        raise UserError(f"--metric {word}: expected python:package.module:function; write it like that")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is the user's: anything may happen on import
        raise UserError(
            f"--metric {word}: {type(error).__name__}: {error}; expected a function of a module of the current folder"
            " or on the Python path. Check the spelling and the module"
        ) from error
    if not callable(found):
        raise UserError(f"--metric {word}: {name} is {type(found).__name__}, expected a function; name one")
    function: Function = found
    return function


def apply_metric(
    word: str, function: Function, hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str]
) -> float | list[float]:
    """The score of all sentences, or one score a sentence.

    Raises:
        UserError: the function failed, or gave anything else.
    """
    try:
        result = function(list(hypotheses), list(references), list(sources))
        values = result.tolist() if hasattr(result, "tolist") else result  # numpy and torch
    except Exception as error:
        raise UserError(
            f"--metric {word}: it failed with {type(error).__name__}: {error}{_where(error)}; it is called with three"
            " lists of texts (hypotheses, references, sources). Mend it and try again"
        ) from error
    if _is_number(values):
        return float(values)
    if not isinstance(values, list | tuple) or not all(map(_is_number, values)):
        raise UserError(f"--metric {word}: gave {_shown(result)}, expected a finite number or a list of them; mend it")
    if len(values) != len(references):
        raise UserError(
            f"--metric {word}: gave {len(values):,} numbers for {len(references):,} sentences, expected one a sentence"
            " or a single number for all; mend it"
        )
    return [float(value) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _where(error: Exception) -> str:
    """The line that failed, in the user's own file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})"
