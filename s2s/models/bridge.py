"""From the encoder's final state to the decoder's first."""

# B batch, O width of a layer's output

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from s2s.cores import Stack, State
from s2s.kernels import dense

Kind = Literal["copy", "output", "linear", "tanh"]


class Bridge(nn.Module):
    """Seeds for every layer of the decoder.

    copy: the encoder layer's own state (same core and sizes). output: its last output becomes the first part of the
    decoder's seed (h), the rest (an LSTM's c) is zero. linear, tanh: a (tanh) layer of the last output for every part.
    A decoder with more layers than the encoder takes the encoder's top layer for the rest.

    Args:
        kind: which of the four.
        summary_sizes: width of each encoder layer's last output.
        seed_sizes: for each decoder layer, the widths of its seed.

    Raises:
        ValueError: the kind needs widths that differ.
    """

    def __init__(self, kind: Kind, summary_sizes: Sequence[int], seed_sizes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.seed_sizes = tuple(seed_sizes)
        self.layers = nn.ModuleList()
        for index, sizes in enumerate(self.seed_sizes):
            width = summary_sizes[min(index, len(summary_sizes) - 1)]
            match kind:
                case "linear" | "tanh":
                    self.layers.append(nn.ModuleList([nn.Linear(width, size) for size in sizes]))
                case "output":
                    if sizes[0] != width:
                        raise ValueError(f"bridge 'output' needs equal widths, got {width} and {sizes[0]}")
                case "copy":
                    pass
                case _:
                    assert_never(kind)

    def forward(self, stack: Stack, finals: tuple[State, ...]) -> tuple[State, ...]:
        """One seed a decoder layer, from the encoder's stack and its final states."""
        if self.kind == "copy":
            return stack.seeds(finals)
        return self.seeds(stack.summaries(finals))

    def seeds(self, summaries: Sequence[Tensor]) -> tuple[State, ...]:
        """One seed a decoder layer, from what each layer before it said last; of every kind but copy."""
        tops = [summaries[min(index, len(summaries) - 1)] for index in range(len(self.seed_sizes))]
        return tuple(self._seed(index, top_BO) for index, top_BO in enumerate(tops))

    def _seed(self, index: int, top_BO: Tensor) -> State:
        if self.kind == "output":
            rest = self.seed_sizes[index][1:]
            return (top_BO, *(top_BO.new_zeros(top_BO.shape[0], size) for size in rest))
        layers = self.layers[index]
        assert isinstance(layers, nn.ModuleList)
        seeds = (dense.linear(layer, top_BO) for layer in layers)
        return tuple(torch.tanh(seed) for seed in seeds) if self.kind == "tanh" else tuple(seeds)
