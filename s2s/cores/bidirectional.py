"""Two layers over the same sequence, one forwards and one backwards (Schuster and Paliwal 1997).

Shapes: B batch, T time, I input, O output of both together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s.cores.cell import State
from s2s.cores.recurrent import Recurrent


class Bidirectional(nn.Module):
    """out_t = [forward_t; backward_t]. State (*forward's, *backward's).

    There is no `step`: the backward half needs the end of the sequence, so a decoder cannot be bidirectional.
    Raises ValueError when the two do not run in opposite directions over the same input, or keep different things.
    """

    def __init__(self, forward: Recurrent, backward: Recurrent) -> None:
        super().__init__()
        if forward.reverse or not backward.reverse:
            raise ValueError("Bidirectional takes a forward layer and a layer with reverse=True, in this order")
        if forward.input_size != backward.input_size:
            raise ValueError(f"both directions read one input, got sizes {forward.input_size}, {backward.input_size}")
        if forward.keep != backward.keep:
            raise ValueError(f"both directions keep the same, got {forward.keep!r} and {backward.keep!r}")
        self.forwards = forward
        self.backwards = backward
        self._split = len(forward.begin(1))

    @property
    def keep(self) -> str:
        """What both directions keep: "all" or "last"."""
        return self.forwards.keep

    @property
    def input_size(self) -> int:
        """Width of x."""
        return self.forwards.input_size

    @property
    def output_size(self) -> int:
        """Width of both outputs together."""
        return self.forwards.output_size + self.backwards.output_size

    @property
    def seed_sizes(self) -> tuple[int, ...]:
        """Widths of what may be seeded: forward's, then backward's."""
        return self.forwards.seed_sizes + self.backwards.seed_sizes

    def begin(self, batch: int, seed: State | None = None) -> State:
        """The state before the first step of both directions."""
        if seed is None:
            return self.forwards.begin(batch) + self.backwards.begin(batch)
        cut = len(self.forwards.seed_sizes)
        return self.forwards.begin(batch, seed[:cut]) + self.backwards.begin(batch, seed[cut:])

    def seed(self, state: State) -> State:
        """The part of a state that may seed another of the same cores."""
        ahead, back = self._halves(state)
        return self.forwards.seed(ahead) + self.backwards.seed(back)

    def forward(
        self, x_BTI: Tensor, lengths_B: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """(out_BTO, or out_BO with keep="last", and the final state of both directions)."""
        ahead, back = (None, None) if state is None else self._halves(state)
        out_ahead, ahead = self.forwards(x_BTI, lengths_B, ahead)
        out_back, back = self.backwards(x_BTI, lengths_B, back)
        return torch.cat([out_ahead, out_back], -1), (*ahead, *back)

    def summary(self, state: State) -> Tensor:
        """out_BO: each direction after its own last step."""
        ahead, back = self._halves(state)
        return torch.cat([self.forwards.summary(ahead), self.backwards.summary(back)], -1)

    def _halves(self, state: State) -> tuple[State, State]:
        return state[: self._split], state[self._split :]
