"""The reference loop over time, which every core has and every faster backend is tested against.

Shapes: B batch, T time, I input, G what a step receives, K kept of a step, O output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from s2s.cores.cell import Cell, Prepared, State
from s2s.kernels import Run


def states(cell: Cell, g_BTG: Tensor, state: State, lengths_B: Tensor | None = None) -> Iterator[State]:
    """The state after each step; a finished row keeps its own.

    The loop runs over `unbind`, not over an index: the backward of x[:, t] fills a tensor as large as x at every step,
    so its time grows with T squared.
    """
    prepared = cell.prepare()
    for g_BG, active_B1 in zip(g_BTG.unbind(1), _active(g_BTG, lengths_B), strict=True):
        after = cell.step(g_BG, state, prepared)
        state = after if active_B1 is None else _where(active_B1, after, state)
        yield state


def scan(cell: Cell, g_BTG: Tensor, state: State, lengths_B: Tensor | None = None) -> tuple[Tensor, State]:
    """(hidden_BTK, the state after each row's last step). At padding hidden_BTK repeats a row's last."""
    kept = []
    for state in states(cell, g_BTG, state, lengths_B):  # noqa: B020  the last one is what the loop leaves behind
        kept.append(cell.hidden(state))
    return torch.stack(kept, 1), state


def last(cell: Cell, g_BTG: Tensor, state: State, lengths_B: Tensor | None = None) -> State:
    """The final state alone: what `scan` gives, without keeping every step."""
    for state in states(cell, g_BTG, state, lengths_B):  # noqa: B007, B020
        pass
    return state


def loop(cell: Cell) -> Run:
    """The reference loop as a kernel that gives the output; its weights are `cell.parameters()` or take their place."""
    module = _Loop(cell)

    def run(
        x_BTI: Tensor, state: State, weights: State, lengths_B: Tensor | None, /, *, every: bool
    ) -> tuple[Tensor, State]:
        own = dict(module.named_parameters())
        if all(given is mine for given, mine in zip(weights, own.values(), strict=True)):
            return module(x_BTI, state, lengths_B, every)  # type: ignore[no-any-return]  # a module's call has no type
        named = dict(zip(own, weights, strict=True))
        return torch.func.functional_call(module, named, (x_BTI, state, lengths_B, every))  # type: ignore[no-any-return]

    return run


def prepare_with(cell: Cell, weights: Mapping[str, Tensor]) -> Prepared:
    """`cell.prepare()` with other tensors in the place of the named parameters."""
    named = {f"cell.{name}": weight for name, weight in weights.items()}
    return torch.func.functional_call(_Prepare(cell), named, ())  # type: ignore[no-any-return]


class _Prepare(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self) -> Prepared:
        return self.cell.prepare()


class _Loop(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_BTI: Tensor, state: State, lengths_B: Tensor | None, every: bool) -> tuple[Tensor, State]:
        """(out_BTO, final state); without `every` only the final state is kept, and out is empty."""
        g_BTG = self.cell.project(x_BTI)
        if not every:
            return g_BTG[:, :0], last(self.cell, g_BTG, state, lengths_B)
        hidden_BTK, after = scan(self.cell, g_BTG, state, lengths_B)
        return self.cell.read(hidden_BTK), after


def _active(g_BTG: Tensor, lengths_B: Tensor | None) -> list[Tensor] | list[None]:
    time = g_BTG.shape[1]
    if lengths_B is None:
        return [None] * time
    time_T1 = torch.arange(time, device=g_BTG.device)[:, None]
    return list((time_T1 < lengths_B).unsqueeze(2).unbind(0))


def _where(active_B1: Tensor, after: State, before: State) -> State:
    return tuple(torch.where(active_B1, new, old) for new, old in zip(after, before, strict=True))
