"""The one interface of all recurrences: a cell is one step, a layer (`s2s.cores.recurrent`) is a scan of it.

What does not wait for the state stays outside the loop: `project` before it, `read` after it, each over all time steps
at once. State is a value, passed and returned, never kept on a module: beams and server threads share one model.

Shapes: B batch, T time, I input, G what a step receives, H hidden, K kept of a step, O output, R rows of a weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
"""Batch-first tensors that one step hands to the next."""

Prepared = tuple[Tensor, ...]
"""The weights of a step, made ready once a sequence."""


class Block(NamedTuple):
    """One matrix of one gate: what an initialisation scheme fills in one go (a view into its parameter)."""

    weight: Tensor
    recurrent: bool


class Cell(nn.Module, ABC):
    """One step of a recurrence: state_t = step(project(x)_t, state_{t-1}), out_t = read(hidden(state_t)).

    A subclass gives `project` and `step`, and where the defaults do not fit: `begin`, `seed`, `prepare`, `hidden`,
    `read`, `reset_parameters`, `is_recurrent`, `blocks`, `reset_vectors`. Its first vector, or its first parameter if
    it has none, says on which device, and in which dtype, its states live.

    `kernel` is the name by which `s2s.kernels` knows the function that this cell computes; a name it does not know
    means that only the reference loop can run the cell. `seed_sizes` are the widths of what another model may set in
    the first state.
    """

    kernel: str = "your own"

    def __init__(
        self, input_size: int, hidden_size: int, *, output_size: int, gate_size: int, seed_sizes: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = output_size
        self.gate_size = gate_size
        self.seed_sizes = seed_sizes

    @abstractmethod
    def project(self, x_BTI: Tensor) -> Tensor:
        """g_BTG: the affine part of every step that does not wait for the state, one product over all T."""

    def begin(self, batch: int, seed: State | None = None) -> State:
        """The state before the first step, (B, width) each: zeros, or the seed (widths as in `seed_sizes`).

        Raises ValueError when the seed has other widths.
        """
        if seed is not None:
            return self.checked_seed(batch, seed)
        like = self.of_states()
        return tuple(like.new_zeros(batch, size) for size in self.seed_sizes)

    def seed(self, state: State) -> State:
        """The part of a state that may seed another of the same cell: seed(begin(B, s)) == s."""
        return state[: len(self.seed_sizes)]

    def prepare(self) -> Prepared:
        """What every step of one sequence shares: recurrent weights, transposed or masked."""
        return ()

    @abstractmethod
    def step(self, g_BG: Tensor, state: State, prepared: Prepared) -> State:
        """The recurrence, pure: the next state from one column of `project` and the last state."""

    def gates(self, g_BG: Tensor, before: State, after: State, prepared: Prepared) -> dict[str, Tensor]:  # noqa: ARG002
        """What opened and closed in the step from `before` to `after`, by name, for pictures; here nothing."""
        return {}

    def hidden(self, state: State) -> Tensor:
        """What the scan keeps of a step, (B, K)."""
        return state[0]

    def read(self, hidden_BTK: Tensor) -> Tensor:
        """out_BTO: what does not feed back, over all T at once (also serves (B, K) -> (B, O))."""
        return hidden_BTK

    def layer_weights(self) -> Prepared:
        """All weights in the order in which its kernels take them; only for cells that a kernel serves."""
        raise NotImplementedError(f"no kernel serves {type(self).__name__}")

    def reset_parameters(self) -> None:
        """Draw the parameters anew from this cell's own default: here that of torch's recurrent layers."""
        bound = self.hidden_size**-0.5 if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def is_recurrent(self, name: str) -> bool:
        """Whether the parameter of this name reads the last state: what weight drop drops. Here: `*_hh` matrices."""
        return name.startswith("weight") and name.endswith("_hh")

    def blocks(self) -> Iterator[Block]:
        """Every weight matrix, gate by gate. Here: each parameter with two dimensions, by `is_recurrent`."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                yield Block(parameter.detach(), self.is_recurrent(name))

    def reset_vectors(self) -> None:
        """Put biases and other vectors at the start that goes with a freshly drawn matrix: here zeros."""
        for parameter in self.parameters():
            if parameter.dim() < 2:
                nn.init.zeros_(parameter)

    def checked_seed(self, batch: int, seed: State) -> State:
        """The seed in the dtype of the parameters; ValueError when its shapes are not (batch, seed_sizes[i])."""
        got = [tuple(tensor.shape) for tensor in seed]
        expected = [(batch, size) for size in self.seed_sizes]
        if got != expected:
            raise ValueError(f"{type(self).__name__} takes a seed of shapes {expected}, got {got}")
        dtype = self.of_states().dtype
        return tuple(tensor.to(dtype) for tensor in seed)

    def of_states(self) -> Tensor:
        """The parameter that says where its states live and in which dtype: the first vector, if there is one.

        Matrices may be kept in a narrower type.
        """
        parameters = list(self.parameters())
        return next((parameter for parameter in parameters if parameter.dim() == 1), parameters[0])


class Gated(Cell):
    """A cell with torch's parameters, G = gates * H: weight_ih (G, I), weight_hh (G, H), bias_ih (G,), bias_hh (G,)."""

    def __init__(self, input_size: int, hidden_size: int, *, gates: int, seeds: int = 1) -> None:
        super().__init__(
            input_size,
            hidden_size,
            output_size=hidden_size,
            gate_size=gates * hidden_size,
            seed_sizes=(hidden_size,) * seeds,
        )
        self.weight_ih = nn.Parameter(torch.empty(self.gate_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.gate_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(self.gate_size))
        self.bias_hh = nn.Parameter(torch.empty(self.gate_size))

    def layer_weights(self) -> Prepared:
        """(weight_ih, weight_hh, bias_ih, bias_hh), the order of `torch.lstm`, `torch.gru` and `torch.rnn_tanh`."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def blocks(self) -> Iterator[Block]:
        """weight_ih and weight_hh, H rows a gate."""
        return gate_blocks(self.weight_ih, self.weight_hh, self.hidden_size)


def gate_blocks(weight_ih: Tensor, weight_hh: Tensor, rows: int) -> Iterator[Block]:
    """Both weights cut into gates of so many rows."""
    for weight, recurrent in ((weight_ih, False), (weight_hh, True)):
        for block in weight.detach().chunk(len(weight) // rows):
            yield Block(block, recurrent)
