"""A writer that writes some tokens of its vocabulary: the output layer has rows for these alone."""

# R rows, B sentences, X tokens of the shortlist

from __future__ import annotations

from copy import copy
from typing import Any

from torch import Tensor, nn

from s2s.kernels.steps import Way
from s2s.models.decoder import Memory
from s2s.models.one_call import OneCall, one_call
from s2s.models.writer import Writer


class Shortened:
    """A Stepper whose tokens are places in a shortlist."""

    def __init__(self, writer: Writer, token_X: Tensor, memory: Memory, count: int) -> None:
        """`count`: rows of the search, as of `one_call`. The writer does not copy."""
        self._token_X = token_X.to(writer.output.weight.device)
        short = copy(writer)
        short._modules = {**writer._modules, "output": _some_rows(writer.output, self._token_X)}
        self._stepper: Any = one_call(short, memory, count)

    def begin(self, memory: Memory) -> Any:
        """The state before the first token."""
        return self._stepper.begin(memory)

    def step(self, place_R: Tensor, state: Any, memory: Memory) -> tuple[Tensor, Any]:
        """Logits (R, X) of the next token, and the next state."""
        logits_RX, state = self._stepper.step(self._token_X.index_select(0, place_R), state, memory)
        return logits_RX, state

    def greedily(self, memory: Memory, way: Way) -> tuple[Tensor, Tensor] | None:
        """A whole greedy search, as `s2s.search.stepper.Goer` says; its tokens are places, too."""
        if not isinstance(self._stepper, OneCall):
            return None
        bos = int(self._token_X[way.bos])
        return self._stepper.greedily(memory, way._replace(bos=bos, meaning=self._token_X.contiguous()))

    def reorder(self, state: Any, index_R: Tensor) -> Any:
        """The given rows of a state, in the given order."""
        return self._stepper.reorder(state, index_R)

    def select(self, memory: Memory, sentences_B: Tensor) -> Memory:
        """The memory of the given sentences."""
        return self._stepper.select(memory, sentences_B)  # type: ignore[no-any-return]


def _some_rows(layer: nn.Linear, row_X: Tensor) -> nn.Linear:
    """A layer with some of the rows of another one, whatever its numbers are kept in."""
    some = copy(layer)
    some._parameters = {
        name: None if own is None else nn.Parameter(own.detach().index_select(0, row_X), requires_grad=False)
        for name, own in layer._parameters.items()
    }
    some._buffers = {name: None if own is None else own.index_select(0, row_X) for name, own in layer._buffers.items()}
    some.out_features = len(row_X)
    return some
