"""Fused scans: tensors in, tensors out; they know nothing of modules.

A kernel replaces the reference loop and nothing else: it returns what the loop returns, the kept hidden state of every
step and the state after each row's last step. Adding one means a file in this room and a line in `find`.

`native` are torch's own layers. `fused` are scans with a hand-derived backward whose loop over time is plain torch;
`compiled` and `triton` are the same scans with that loop in C++ or Triton: what stands around it (input products,
weight gradients, what is saved) is written once, in `s2s.kernels.fused`.

Shapes: B batch, T time, I input, K kept of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

from s2s.errors import UserError
from s2s.kernels import native
from s2s.kernels.protocol import Run, State

Backend = Literal["auto", "reference", "native", "fused", "compiled", "triton"]
Compiled = Literal["native", "fused", "compiled", "triton"]

BACKENDS: tuple[Compiled, ...] = ("native", "fused", "compiled", "triton")


def preference(core: str, device: torch.device) -> tuple[Compiled, ...]:
    """The order in which `auto` asks; the reference loop comes after all of them. Measured in docs/kernels.md."""
    if device.type == "cuda":
        return "triton", "native", "fused"
    if core == "lstm":
        return "native", "compiled", "fused"
    return "compiled", "native", "fused"


class BackendUnavailable(UserError):  # noqa: N818  said as a state of affairs, which it is
    """The backend that was asked for does not serve this core here; `reason` says why, the message also what to do."""

    def __init__(self, backend: Compiled, core: str, device: torch.device, dtype: torch.dtype, reason: str) -> None:
        super().__init__(
            f"The backend '{backend}' does not serve the core '{core}' ({device.type}, {dtype}): {reason}. "
            "Use backend = 'auto', which takes the fastest that does, or 'reference'."
        )
        self.reason = reason


@dataclass(frozen=True)
class Kernel:
    """A scan over x_BTI with all weights of the layer (`Cell.layer_weights`).

    gives="hidden": what `Cell.read` takes; gives="output": the layer's output, `Cell.read` included.
    zero_padding: what it gives is zero at padding, and gradients that arrive there are ignored.
    """

    name: Compiled
    run: Run
    gives: Literal["hidden", "output"]
    zero_padding: bool


def find(core: str, backend: Compiled, device: torch.device, dtype: torch.dtype) -> Kernel:
    """The scan of `core` (a `Cell.kernel` name) on this device; raises BackendUnavailable with the reason."""
    match backend:
        case "native":
            return _native(core, device, dtype)
        case "fused":
            return _fused(core, device, dtype)
        case "compiled":
            return _compiled(core, device, dtype)
        case "triton":
            return _triton(core, device, dtype)
        case _:
            assert_never(backend)


def _native(core: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    if core not in native.LAYERS:
        reason = "torch has no fused layer that computes the same function"
        raise BackendUnavailable("native", core, device, dtype, reason)
    return Kernel("native", _always_every(native.LAYERS[core]), gives="hidden", zero_padding=False)


def _always_every(layer: native.Layer) -> Run:
    """torch's layers keep every step anyway."""

    def run(
        x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool
    ) -> tuple[Tensor, State]:
        del every
        return layer(x_BTI, state, weights, lengths_B)

    return run


def _fused(core: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    from s2s.kernels import fused

    if core not in fused.SCANS:
        raise BackendUnavailable("fused", core, device, dtype, "no backward was derived for it")
    return _around_loops("fused", core, fused.SCANS[core])


def _around_loops(name: Compiled, core: str, run: Run) -> Kernel:
    """A scan of `s2s.kernels.fused`, whichever engine runs its loops."""
    from s2s.kernels.fused import gives

    return Kernel(name, run, gives=gives(core), zero_padding=True)


def _compiled(core: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    from s2s.kernels.compiled import engine

    if reason := engine.unavailable(core, device, dtype):
        raise BackendUnavailable("compiled", core, device, dtype, reason)
    return _around_loops("compiled", core, engine.SCANS[core])


def _triton(core: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    from s2s.kernels import triton

    if reason := triton.unavailable(core, device, dtype):
        raise BackendUnavailable("triton", core, device, dtype, reason)
    return _around_loops("triton", core, triton.scan(core))


__all__ = ["BACKENDS", "Backend", "BackendUnavailable", "Compiled", "Kernel", "Run", "State", "find", "preference"]
