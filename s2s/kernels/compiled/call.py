"""Calls into the compiled libraries: tensors as pointers, nothing copied.

Shapes: B batch, T time.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from s2s.kernels.compiled.build import library

NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""The storage types that the sources are compiled for, as they end the functions' names."""


def call(core: str, function: str, sizes: tuple[int, ...], lengths_B: Tensor | None, *tensors: Tensor | None) -> None:
    """function_DTYPE(sizes..., lengths, threads, tensors...) of the core's library; None is a null pointer.

    The first tensor says which storage type. Every tensor must be contiguous and on the CPU.
    """
    first = tensors[0]
    assert first is not None
    run = library(core)[f"{function}_{NAMES[first.dtype]}"]
    lengths = None if lengths_B is None else lengths_B.to(torch.int64).contiguous()
    pointers = [_pointer(tensor) for tensor in (lengths, *tensors)]
    run(*map(ctypes.c_int, sizes), pointers[0], ctypes.c_int(torch.get_num_threads()), *pointers[1:])


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    if tensor is None:
        return ctypes.c_void_p(None)
    assert tensor.is_contiguous(), "a compiled loop reads memory in order"
    return ctypes.c_void_p(tensor.data_ptr())
