"""Operations on nested tuples of batch-first tensors: what decoder states and memories are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


def map_tensors(function: Callable[[Tensor], Tensor], value: T) -> T:
    """`function` applied to every tensor of a nested tuple (named tuples keep their type; None stays None)."""
    result: Any = value
    if isinstance(value, Tensor):
        result = function(value)
    elif isinstance(value, tuple):
        parts = [map_tensors(function, part) for part in value]
        result = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return result  # type: ignore[no-any-return]


def rows(value: T, index: Tensor) -> T:
    """The given batch rows of every tensor."""
    return map_tensors(lambda tensor: tensor.index_select(0, index), value)


def tensors(value: object) -> list[Tensor]:
    """All tensors of a nested tuple, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors(part)] if isinstance(value, tuple) else []
