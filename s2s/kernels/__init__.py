"""Fused scans: tensors in, tensors out; they know nothing of modules.

A kernel replaces the reference loop and nothing else: it returns what the loop returns, the kept hidden state of every
step and the state after each row's last step. Adding one means a file in this room and a line in `find`.

Shapes: B batch, T time, F features of what the kernel takes in, K kept of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, assert_never

import torch
from torch import Tensor

from s2s.errors import UserError
from s2s.kernels import native

Backend = Literal["auto", "reference", "native"]
Compiled = Literal["native"]
State = tuple[Tensor, ...]

PREFERENCE: tuple[Compiled, ...] = ("native",)
"""The order in which `auto` asks; the reference loop comes after all of them."""


class BackendUnavailable(UserError):  # noqa: N818  said as a state of affairs, which it is
    """The backend that was asked for does not serve this core here; `reason` says why, the message also what to do."""

    def __init__(self, backend: Compiled, core: str, device: torch.device, dtype: torch.dtype, reason: str) -> None:
        super().__init__(
            f"The backend '{backend}' does not serve the core '{core}' ({device.type}, {dtype}): {reason}. "
            "Use backend = 'auto', which takes the fastest that does, or 'reference'."
        )
        self.reason = reason


class Run(Protocol):
    """(inputs_BTF, state, weights, lengths_B or None) -> (hidden_BTK, final state).

    lengths_B lies on the device of the inputs; None means that every row has T steps. Inputs at padding are zero.
    A finished row keeps its state (length 0: the first state). hidden_BTK at padding is finite and otherwise free.
    """

    def __call__(
        self, inputs_BTF: Tensor, state: State, weights: State, lengths_B: Tensor | None, /
    ) -> tuple[Tensor, State]: ...


@dataclass(frozen=True)
class Kernel:
    """A scan and what it takes in.

    takes="input": x_BTI and all weights of the layer (`Cell.layer_weights`); takes="gates": the projected g_BTG and
    what a step reads (`Cell.prepare`), as the reference loop does.
    """

    name: Compiled
    run: Run
    takes: Literal["input", "gates"]


def find(core: str, backend: Compiled, device: torch.device, dtype: torch.dtype) -> Kernel:
    """The scan of `core` (a `Cell.kernel` name) on this device; raises BackendUnavailable with the reason."""
    match backend:
        case "native":
            return _native(core, device, dtype)
        case _:
            assert_never(backend)


def _native(core: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    if core not in native.LAYERS:
        reason = "torch has no fused layer that computes the same function"
        raise BackendUnavailable("native", core, device, dtype, reason)
    return Kernel("native", native.LAYERS[core], takes="input")


__all__ = ["PREFERENCE", "Backend", "BackendUnavailable", "Compiled", "Kernel", "Run", "find"]
