"""A layer: one cell over all time steps of a ragged batch. Lengths, direction and backend are decided only here.

Shapes: B batch, T time, I input, G what a step receives, K kept of a step, O output.
"""

from __future__ import annotations

import functools
import logging
from typing import Literal

import torch
from torch import Tensor, nn

from s2s.cores.cell import Cell, Prepared, State
from s2s.cores.ragged import Ragged, ragged
from s2s.cores.scan import loop, prepare_with
from s2s.cores.segments import in_segments
from s2s.errors import UserError
from s2s.kernels import Backend, BackendUnavailable, Kernel, Run, find, preference
from s2s.kernels.dropout import dropout
from s2s.kernels.fused.products import product_dtype

Keep = Literal["all", "last"]

logger = logging.getLogger("s2s")


class Recurrent(nn.Module):
    """`cell` scanned over time, forwards or (`reverse`) backwards inside each row's length.

    `keep="last"`: the output is read once, after each row's last step, and is (B, O) instead of (B, T, O).
    `backend`: "reference" is the loop in plain torch, the others are those of `s2s.kernels`; "auto" is the fastest that
    computes the same function, and says once per core which it took.
    `weight_drop`: in training this share of the weights that read the last state is zero, one mask a sequence for the
    whole batch, the rest scaled to keep the mean (Merity, Keskar and Socher 2018), on every backend.
    `segment`: in training this many steps are run at a time, and the backward runs them again instead of having kept
    what they computed; the cell's steps must be pure, as `Cell.step` says.

    Raises UserError for a segment of less than one step, a weight drop outside [0, 1), and one for a cell that has no
    recurrent weights.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        reverse: bool = False,
        keep: Keep = "all",
        backend: Backend = "auto",
        segment: int | None = None,
        weight_drop: float = 0.0,
    ) -> None:
        super().__init__()
        if segment is not None and segment < 1:
            raise UserError(f"A segment has at least one step, got segment = {segment}. None runs the whole at once.")
        _check_weight_drop(cell, weight_drop)
        self.cell = cell
        self.reverse = reverse
        self.keep: Keep = keep
        self.backend: Backend = backend
        self.segment = segment
        self.weight_drop = weight_drop

    @property
    def input_size(self) -> int:
        """Width of x."""
        return self.cell.input_size

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.cell.output_size

    @property
    def seed_sizes(self) -> tuple[int, ...]:
        """Widths of what may be seeded."""
        return self.cell.seed_sizes

    def begin(self, batch: int, seed: State | None = None) -> State:
        """The state before the first step."""
        return self.cell.begin(batch, seed)

    def seed(self, state: State) -> State:
        """The part of a state that may seed another layer of the same core."""
        return self.cell.seed(state)

    def forward(
        self, x_BTI: Tensor, lengths_B: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """(out_BTO, or out_BO with keep="last", and the state after each row's last step).

        Outputs at padding are zero; what x holds there does not matter. `state` is a full state, as returned: two
        halves of a sequence make a whole (the later half first where the layer is reversed). None means `begin(B)`.
        A row of length 0 keeps its first state. Raises ValueError for lengths that do not fit, BackendUnavailable
        where the backend that was asked for does not serve this core.
        """
        rows = ragged(lengths_B, x_BTI)
        x_BTI = self._turn(x_BTI if rows is None else rows.blank(x_BTI), rows)
        before = self.begin(len(x_BTI)) if state is None else state
        out_BTO, after = self._scan(x_BTI, before, rows)
        if not torch.is_autocast_enabled(x_BTI.device.type):
            out_BTO = out_BTO.to(after[0].dtype)  # matrices may be kept in a narrower type than states
        if self.keep == "last":
            return self.summary(after), after
        return self._turn(out_BTO, rows), after

    def summary(self, state: State) -> Tensor:
        """out_BO after each row's last step, from a state that `forward` returned."""
        return self.cell.read(self.cell.hidden(state))

    def project(self, x_BTI: Tensor) -> Tensor:
        """g_BTG for `step`, all time steps at once."""
        return self.cell.project(x_BTI)

    def prepare(self) -> Prepared:
        """What every `step` of one sequence shares; draws the masks of weight drop, as `forward` does, in training."""
        dropped = self._dropped()
        return prepare_with(self.cell, dropped) if dropped else self.cell.prepare()

    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> tuple[Tensor, State]:
        """(out_BO, next state): one step, for decoders. Raises UserError for a reversed layer."""
        if self.reverse:
            raise UserError("A layer that runs backwards in time cannot be stepped. A decoder's layers run forwards.")
        state = self.cell.step(g_BG, state, prepared)
        return self.summary(state), state

    def _turn(self, x_BTF: Tensor, rows: Ragged | None) -> Tensor:
        if not self.reverse:
            return x_BTF
        return x_BTF.flip(1) if rows is None else rows.reverse(x_BTF)

    def _scan(self, x_BTI: Tensor, state: State, rows: Ragged | None) -> tuple[Tensor, State]:
        """(out_BTO, final state); with keep="last" no step is kept that need not be, and out may be anything."""
        every = self.keep == "all"
        lengths_B = None if rows is None else rows.lengths
        dtype = product_dtype(next(self.cell.parameters()))
        kernel = choose(self.cell.kernel, self.backend, x_BTI.device, dtype)
        run: Run = loop(self.cell) if kernel is None else kernel.run
        weights = self._weights(kernel)
        if self.segment is None:
            out, after = run(x_BTI, state, weights, lengths_B, every=every)
        else:
            out, after = in_segments(run, x_BTI, state, weights, lengths_B, every=every, segment=self.segment)
        if not every:
            return out, after
        if kernel is not None and kernel.gives == "hidden":
            out = self.cell.read(out)
        if rows is None or (kernel is not None and kernel.zero_padding):
            return out, after
        return rows.blank(out), after

    def _weights(self, kernel: Kernel | None) -> State:
        """What the scan takes: all parameters for the reference loop, else the cell's; dropped ones in their place."""
        taken = tuple(self.cell.parameters()) if kernel is None else self.cell.layer_weights()
        if not (dropped := self._dropped()):
            return taken
        masked = {id(self.cell.get_parameter(name)): weight for name, weight in dropped.items()}
        return tuple(masked.get(id(weight), weight) for weight in taken)

    def _dropped(self) -> dict[str, Tensor]:
        """The recurrent weights by name with a fresh mask each; nothing where none are dropped."""
        if not (self.training and self.weight_drop):
            return {}
        named = self.cell.named_parameters()
        return {name: dropout(weight, self.weight_drop) for name, weight in named if self.cell.is_recurrent(name)}


def _check_weight_drop(cell: Cell, share: float) -> None:
    if not 0.0 <= share < 1.0:
        raise UserError(f"The dropout of recurrent weights is {share}; it must lie in [0, 1), for example 0.3.")
    if share and not any(cell.is_recurrent(name) for name, _ in cell.named_parameters()):
        raise UserError(
            f"The dropout of recurrent weights is {share}, but the core {type(cell).__name__} ({cell.kernel}) has none:"
            " expected a parameter for which is_recurrent(name) is true, for example weight_hh. Set it to 0."
        )


@functools.cache
def choose(core: str, backend: Backend, device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """The kernel that runs this core here, None for the reference loop; "auto" logs what it took.

    Raises BackendUnavailable where a backend is asked for by name and does not serve the core.
    """
    if backend == "reference":
        return None
    if backend != "auto":
        return find(core, backend, device, dtype)
    found, reason = _fastest(core, device, dtype)
    _announce(core, found.name if found else "reference", reason)
    return found


def _fastest(core: str, device: torch.device, dtype: torch.dtype) -> tuple[Kernel | None, str]:
    reason = ""
    for candidate in preference(core, device):
        try:
            return find(core, candidate, device, dtype), ""
        except BackendUnavailable as error:
            reason = f"{candidate}: {error.reason}"
    return None, reason


@functools.cache
def _announce(core: str, chosen: str, reason: str) -> None:
    """Cached, so that each choice is said once."""
    because = f" ({reason})" if reason else ""
    logger.info("core %s: backend %s%s", core, chosen, because)
