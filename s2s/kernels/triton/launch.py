"""How the kernels are launched: padded operands, and a CUDA graph where every step is a launch.

Two forms. Where the recurrent weights are small, one launch runs **the whole scan**: a program owns some rows of the
batch and all units, so that nothing but itself waits for it. Where they are large, **every step is a launch**, over
blocks of rows and of units: all multiprocessors read the weights together, and the end of a launch is what makes the
others wait. A thousand launches from Python would take longer than the scan; a CUDA graph of `STEPS` of them is
replayed instead. Kernels read where their tensors lie, T, B and the step to begin with from a table on the device, so
that one graph serves every T and every call, and nothing is copied but the table.

Shapes: B batch, T time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.errors import UserError

LONGEST = 1 << 26
"""Numbers of a row, T * G: within a tile of 32 rows kernels count in 32 bits."""

STEPS = 32
"""Steps of a graph. The last replay idles through those beyond T, at about a microsecond each (unmeasured)."""

GRAPHS = 64
"""Graphs kept; each is of one core, direction, width, number of row tiles, dtype and stream."""


def padded(tensor: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    """A copy with zeros behind every dimension: rows of whole 16-byte words, which kernels read without masks."""
    copy = torch.zeros(shape, dtype=dtype, device=tensor.device)
    copy[tuple(slice(size) for size in tensor.shape)] = tensor
    return copy


class Step(NamedTuple):
    """A kernel with its grid and all that is fixed when it is compiled."""

    kernel: Any
    grid: tuple[int, int]
    options: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, kernel: Any, grid: tuple[int, int], options: Mapping[str, object]) -> Step:
        """Hashable."""
        return cls(kernel, grid, tuple(options.items()))

    def launch(self, table: Tensor, offset: int) -> None:
        """The step CLOCK + offset."""
        self.kernel[self.grid](table, offset, **dict(self.options))


def run(steps: Sequence[Step], tensors: Sequence[Tensor | None], batch: int, time: int, *, whole: bool) -> None:
    """T times the kernels of a step, one after another, or once if they run the whole scan.

    Kernels see `tensors` by number; all are contiguous. None is for what a kernel will not read. Raises UserError for
    rows longer than a tile can count.
    """
    numbers = [0, time, batch, *(0 if tensor is None else tensor.data_ptr() for tensor in tensors)]
    given = [tensor for tensor in tensors if tensor is not None]
    first, row = given[0], max(tensor.stride(0) for tensor in given)
    if row >= LONGEST:
        raise UserError(
            f"One sequence has {row} numbers in a layer, above {LONGEST}. Cut it, or use backend = 'fused'."
        )
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
        if not whole and _may_replay(first.device):
            _graph(tuple(steps), len(numbers), first.device, _stream(first.device)).run(numbers)
        else:
            table = torch.empty(len(numbers), dtype=torch.int64, device=first.device)
            _fill(table, numbers)
            _launch(steps, table, 1 if whole else time)


def _may_replay(device: torch.device) -> bool:
    """Not in the interpreter, nor while the caller captures a graph of its own, which gets every launch instead."""
    return device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


def _stream(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream


def _launch(steps: Sequence[Step], table: Tensor, count: int) -> None:
    for offset in range(count):
        for step in steps:
            step.launch(table, offset)


def _fill(table: Tensor, numbers: list[int]) -> None:
    if table.is_cuda and torch.cuda.is_current_stream_capturing():
        # Into a graph of the caller's; a copy would read the host's memory again at each of its replays.
        for place, number in zip(table.unbind(), numbers, strict=True):
            place.fill_(number)
    else:
        # From pageable memory this returns once the numbers have left it, and does not wait for the device.
        table.copy_(torch.tensor(numbers), non_blocking=True)


class _Graph:
    """`STEPS` steps as a CUDA graph, and the table that they read."""

    def __init__(self, steps: Sequence[Step], numbers: int, device: torch.device) -> None:
        self.steps = steps
        self.table = torch.empty(numbers, dtype=torch.int64, device=device)
        self.lock = threading.Lock()
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, numbers: list[int]) -> None:
        """Nobody else's numbers may come between the table and its replays."""
        clock, time, *others = numbers
        with self.lock:
            if self.graph is None:
                _fill(self.table, [clock, 0, *others])
                self.graph = self._capture()
            _fill(self.table, numbers)
            for _ in range(0, time, STEPS):
                self.graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        _launch(self.steps, self.table, 1)  # T = 0: compiles and loads the kernels, and does nothing
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(self.table.device)  # type: ignore[no-untyped-call]
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            _launch(self.steps, self.table, STEPS)
            self.table[0].add_(STEPS)
        return graph


@functools.lru_cache(maxsize=GRAPHS)
def _graph(steps: tuple[Step, ...], numbers: int, device: torch.device, stream: int) -> _Graph:
    """One a stream, since replays on two streams would share a table."""
    del stream
    return _Graph(steps, numbers, device)
