"""Layers on top of each other, with dropout between them and residual connections.

Shapes: B batch, T time, I input, G what a step of the bottom layer receives, O output.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

from torch import Tensor, nn

from s2s.cores.bidirectional import Bidirectional
from s2s.cores.cell import Prepared, State
from s2s.cores.recurrent import Recurrent
from s2s.errors import UserError
from s2s.kernels.dropout import dropout

Layer = Recurrent | Bidirectional
States = tuple[State, ...]


class PreparedStack(NamedTuple):
    """What all steps of one sequence share: each layer's weights, and the masks between layers if variational."""

    layers: tuple[Prepared, ...]
    masks: tuple[Tensor | None, ...]


class Stack(nn.Module):
    """Layer l reads dropout(out of layer l - 1); the last output is not dropped.

    `variational`: one dropout mask a sequence, shared by all its time steps (Gal and Ghahramani 2016).
    `residual`: a layer's input is added to its output where the widths agree, from the second layer on.

    Raises ValueError when a layer does not fit on the one below, or one below the top has keep="last", and UserError
    for a dropout outside [0, 1).
    """

    def __init__(
        self, layers: Sequence[Layer], *, dropout: float = 0.0, variational: bool = False, residual: bool = False
    ) -> None:
        super().__init__()
        _check(layers, dropout, residual)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.variational = variational
        self.residual = residual

    @property
    def input_size(self) -> int:
        """Width of x."""
        return self._layers()[0].input_size

    @property
    def output_size(self) -> int:
        """Width of the top layer's output."""
        return self._layers()[-1].output_size

    @property
    def seed_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Widths of what may be seeded, layer by layer."""
        return tuple(layer.seed_sizes for layer in self._layers())

    @property
    def gate_size(self) -> int:
        """G: width of what a step of the bottom layer receives."""
        return self._steppable()[0].cell.gate_size

    def begin(self, batch: int, seeds: Sequence[State] | None = None) -> States:
        """Each layer's state before the first step."""
        layers = self._layers()
        if seeds is None:
            return tuple(layer.begin(batch) for layer in layers)
        return tuple(layer.begin(batch, seed) for layer, seed in zip(layers, seeds, strict=True))

    def forward(
        self, x_BTI: Tensor, lengths_B: Tensor | None = None, state: States | None = None
    ) -> tuple[Tensor, States]:
        """(out_BTO, or out_BO where the top layer has keep="last", and each layer's final state)."""
        masks = self._masks(x_BTI, len(x_BTI))
        out, after = x_BTI, []
        for index, layer in enumerate(self._layers()):
            inputs = out if index == 0 else self._drop(out, masks[index - 1])
            out, final = layer(inputs, lengths_B, None if state is None else state[index])
            after.append(final)
            if self._adds(index):
                out = out + inputs
        return out, tuple(after)

    def summaries(self, state: States) -> tuple[Tensor, ...]:
        """Each layer's own output after the last step, (B, O) each (residual sums are not in it)."""
        return tuple(layer.summary(part) for layer, part in zip(self._layers(), state, strict=True))

    def seeds(self, state: States) -> States:
        """The part of each layer's state that may seed another stack of the same cores."""
        return tuple(layer.seed(part) for layer, part in zip(self._layers(), state, strict=True))

    def project(self, x_BTI: Tensor) -> Tensor:
        """g_BTG of the bottom layer, all time steps at once."""
        return self._steppable()[0].project(x_BTI)

    def prepare(self, batch: int) -> PreparedStack:
        """What every `step` of one sequence shares; draws the variational masks, as `forward` does, in training."""
        layers = self._steppable()
        masks = self._masks(next(self.parameters()), batch)
        return PreparedStack(tuple(layer.prepare() for layer in layers), masks)

    def step(self, g_BG: Tensor, state: States, prepared: PreparedStack) -> tuple[Tensor, States]:
        """(out_BO, next states): one step of all layers. A loop of it equals `forward`.

        Raises UserError where a layer is bidirectional or reversed.
        """
        layers = self._steppable()
        out, after = layers[0].step(g_BG, state[0], prepared.layers[0])
        states = [after]
        for index, layer in enumerate(layers[1:], start=1):
            inputs = self._drop(out, prepared.masks[index - 1])
            out, after = layer.step(layer.project(inputs), state[index], prepared.layers[index])
            states.append(after)
            if self._adds(index):
                out = out + inputs
        return out, tuple(states)

    def _layers(self) -> list[Layer]:
        return cast(list[Layer], list(self.layers))

    def _steppable(self) -> list[Recurrent]:
        layers = [layer for layer in self._layers() if isinstance(layer, Recurrent)]
        if len(layers) < len(self.layers):
            raise UserError("A bidirectional layer cannot be stepped. A decoder's layers run in one direction.")
        return layers

    def _adds(self, index: int) -> bool:
        layer = self._layers()[index]
        return self.residual and index > 0 and layer.input_size == layer.output_size

    def _masks(self, like: Tensor, batch: int) -> tuple[Tensor | None, ...]:
        """For each gap between layers a (B, O) mask of mean 1; None where dropout is drawn per step or not at all."""
        below = self._layers()[:-1]
        if not (self.training and self.variational and self.dropout > 0):
            return (None,) * len(below)
        return tuple(dropout(like.new_ones(batch, layer.output_size), self.dropout) for layer in below)

    def _drop(self, x: Tensor, mask_BO: Tensor | None) -> Tensor:
        """Dropout of (B, T, O) or of one step's (B, O)."""
        if self.variational and mask_BO is not None:
            return x * (mask_BO if x.dim() == 2 else mask_BO.unsqueeze(1))
        return dropout(x, self.dropout, self.training)


def _check(layers: Sequence[Layer], dropout: float, residual: bool) -> None:
    if not 0.0 <= dropout < 1.0:
        raise UserError(f"The dropout between layers is {dropout}; it must lie in [0, 1), for example 0.2.")
    if not layers:
        raise ValueError("a stack needs at least one layer")
    for below, above in pairwise(layers):
        if below.keep != "all":
            raise ValueError("only the top layer of a stack may keep the last output alone")
        if below.output_size != above.input_size:
            raise ValueError(f"a layer that reads {above.input_size} stands on one that gives {below.output_size}")
    if residual and layers[-1].keep != "all":
        raise ValueError("a residual stack adds outputs step by step, so its top layer needs keep='all'")
