"""Long sequences in little memory: the forward keeps the state where a segment starts, the backward runs it again.

`torch.utils.checkpoint` for each segment would do the same, but what it leaves behind between large tensors that come
and go keeps the C library from using their place again: 10,000 steps then took as much memory as 3,000 kept ones.

Shapes: B batch, T time, I input, O output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from s2s.cores.cell import State
from s2s.kernels import Run


def in_segments(
    run: Run, x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, *, every: bool, segment: int
) -> tuple[Tensor, State]:
    """What `run` gives, computed `segment` steps at a time; it must be a function of its arguments alone.

    Each step is computed twice; beside x and the outputs, memory for T / segment states and one segment is enough.
    `every=False`: outputs are not even kept, those returned are empty. Without gradients, and for sequences that fit
    into one segment, `run` runs as it is.
    """
    if not torch.is_grad_enabled() or x_BTI.shape[1] <= segment:
        return run(x_BTI, state, weights, lengths_B, every=every)
    out_BTO, *after = _Segments.apply(run, every, segment, lengths_B, len(state), x_BTI, *state, *weights)  # type: ignore[no-untyped-call]
    return out_BTO, tuple(after)


class _Segments(torch.autograd.Function):
    """Forward: the loop over segments. Backward: the same loop from the end, each segment run again with gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Run,
        every: bool,
        segment: int,
        lengths_B: Tensor | None,
        parts: int,
        x_BTI: Tensor,
        *state_and_weights: Tensor,
    ) -> tuple[Tensor, ...]:
        state, weights = state_and_weights[:parts], state_and_weights[parts:]
        pieces = list(_pieces(x_BTI, lengths_B, segment))
        # In one piece each: they stay, while the large tensors of a segment come and go.
        starts = [part.new_empty(len(pieces), *part.shape) for part in state]
        out_BTO = x_BTI.new_empty(0)
        ctx.autocast = _autocast_here(x_BTI.device.type)
        with _autocast(*ctx.autocast):
            for i, (steps, piece_BSI, rest_B) in enumerate(pieces):
                for start, part in zip(starts, state, strict=True):
                    start[i] = part
                out_BSO, state = run(piece_BSI, tuple(start[i] for start in starts), weights, rest_B, every=every)
                if every:
                    out_BTO = out_BTO if i else out_BSO.new_empty(*x_BTI.shape[:2], *out_BSO.shape[2:])
                    out_BTO[:, steps] = out_BSO
        ctx.save_for_backward(x_BTI, lengths_B, *starts, *weights)
        ctx.run, ctx.every, ctx.segment, ctx.parts = run, every, segment, parts
        ctx.set_materialize_grads(False)
        return out_BTO, *(part.clone() for part in state)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_out: Tensor | None, *d_state: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTI, lengths_B, *rest = ctx.saved_tensors
        starts, saved = rest[: ctx.parts], rest[ctx.parts :]
        needed = ctx.needs_input_grad[5:]
        weights = tuple(_leaf(part, need) for part, need in zip(saved, needed[1 + ctx.parts :], strict=True))
        d_x = torch.zeros_like(x_BTI) if needed[0] else None
        d_weights: list[Tensor | None] = [None] * len(weights)
        for i, (steps, piece_BSI, rest_B) in reversed(list(enumerate(_pieces(x_BTI, lengths_B, ctx.segment)))):
            inputs = [_leaf(piece_BSI, needed[0]), *(_leaf(start[i], True) for start in starts), *weights]
            with torch.enable_grad(), _autocast(*ctx.autocast):
                out, after = ctx.run(inputs[0], tuple(inputs[1 : 1 + ctx.parts]), weights, rest_B, every=ctx.every)
            d_piece = None if d_out is None or not ctx.every else d_out[:, steps]
            gradients = _gradients((out, *after), (d_piece, *d_state), inputs)
            del out, after
            if d_x is not None and gradients[0] is not None:
                d_x[:, steps] = gradients[0]
            d_state = tuple(gradients[1 : 1 + ctx.parts])
            d_weights = [_sum(*pair) for pair in zip(d_weights, gradients[1 + ctx.parts :], strict=True)]
        return None, None, None, None, None, d_x, *d_state, *d_weights


def _pieces(x_BTI: Tensor, lengths_B: Tensor | None, segment: int) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Of each segment which steps it has, its part of x, and how many of its steps each row has."""
    for start in range(0, x_BTI.shape[1], segment):
        piece_BSI = x_BTI[:, start : start + segment]
        rest_B = None if lengths_B is None else (lengths_B - start).clamp(0, piece_BSI.shape[1])
        yield slice(start, start + segment), piece_BSI, rest_B


def _leaf(tensor: Tensor, learns: bool) -> Tensor:
    return tensor.detach().requires_grad_(learns)


def _gradients(
    outputs: tuple[Tensor, ...], d_outputs: tuple[Tensor | None, ...], inputs: list[Tensor]
) -> list[Tensor | None]:
    """For each input, None where nothing flows to it."""
    live = [(y, dy) for y, dy in zip(outputs, d_outputs, strict=True) if dy is not None and y.requires_grad]
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    if not live or not wanted:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad([y for y, _ in live], wanted, [dy for _, dy in live], allow_unused=True))
    return [next(found) if tensor.requires_grad else None for tensor in inputs]


def _sum(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    """Not in place: two weights may have got one tensor as their gradient."""
    return more if total is None else total if more is None else total + more


def _autocast_here(device: str) -> tuple[str, torch.dtype, bool]:
    return device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)


def _autocast(device: str, dtype: torch.dtype, enabled: bool) -> torch.autocast:
    """Without its cache: a weight that was cast without gradients would be taken from there by who needs them."""
    return torch.autocast(device, dtype=dtype, enabled=enabled, cache_enabled=False)
