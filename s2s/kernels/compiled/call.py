"""Calls into the compiled libraries: tensors as pointers, nothing copied.

Shapes: B batch, T time.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from s2s.kernels.compiled.build import library

NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""The storage types that the sources are compiled for, as they end the functions' names."""
_ENDS = NAMES | {torch.int8: "int8"}


def call(
    core: str,
    function: str,
    sizes: tuple[int, ...],
    lengths_B: Tensor | None,
    *tensors: Tensor | None,
    apart: bool = False,
) -> None:
    """function_DTYPE(sizes..., lengths, threads, tensors...) of the core's library; None is a null pointer.

    The first tensor says which storage type. Every tensor must be on the CPU, and contiguous unless its rows may lie
    `apart`, which then the sizes say.
    """
    first = tensors[0]
    assert first is not None
    run = _function(core, f"{function}_{_ENDS[first.dtype]}", len(sizes), len(tensors))
    lengths = None if lengths_B is None else lengths_B.to(torch.int64).contiguous()
    run(*sizes, _pointer(lengths), torch.get_num_threads(), *(_pointer(tensor, apart=apart) for tensor in tensors))


@functools.cache
def _function(core: str, name: str, sizes: int, tensors: int) -> Callable[..., object]:
    """With its types said, so that a call takes numbers as they are."""
    run = getattr(library(core), name)
    run.argtypes = [ctypes.c_int] * sizes + [ctypes.c_void_p, ctypes.c_int] + [ctypes.c_void_p] * tensors
    return run  # type: ignore[no-any-return]


def _pointer(tensor: Tensor | None, *, apart: bool = False) -> int | None:
    if tensor is None:
        return None
    assert apart or tensor.is_contiguous(), "a compiled loop reads memory in order"
    return tensor.data_ptr()
