"""Greedy search on a GPU: one step, captured once and played again, and nothing that waits for the host in between.

A step of a small model is dozens of launches of a few microseconds each, which Python issues slower than a GPU works
them off. So a step here reads and writes the same tensors every time, rows that have ended write on (what they write is
left out), and a CUDA graph of it is played for all further steps. Memory and rows belong to one search, and so does the
graph. Where a step can't be captured, it is issued as ever. What it brings is not measured yet.
"""

# B sentences, T positions, V vocabulary

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from s2s.kernels.likeliest import likeliest
from s2s.kernels.steps import Way
from s2s.search.stepper import Stepper, device_of, tensors

Play = Callable[[], None]
Capture = Callable[[Play], Play]
"""From a step to what does the same, or RuntimeError; nothing is done meanwhile."""

EAGER = 2
"""Steps before the graph is captured: libraries set themselves up in their first calls."""
LOOK = 8
"""Steps between two looks at whether all have ended, each of which waits for the GPU."""

_log = logging.getLogger("s2s")


def straight(model: Stepper[Any, Any], memory: Any, way: Way, capture: Capture | None = None) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) and their log-probabilities; T: one more than the largest room. What is behind an end counts not.

    Args:
        way: of the search; its rooms are not empty, and `meaning` is not used.
        capture: `cuda_graph` where the model is on a GPU, if left out.
    """
    search = _Search(model, memory, way)
    if capture is None and search.device.type == "cuda":
        capture = cuda_graph
    step = search.step
    for position in range(search.positions):
        if position == EAGER and capture is not None:
            step = _captured(search.step, capture)
        step()
        if position % LOOK == LOOK - 1 and not bool(search.going_B.any()):
            break
    return search.tokens_BT, search.gains_BT


class _Search:
    """Tensors that stay where they are, and the step that moves them on."""

    def __init__(self, model: Stepper[Any, Any], memory: Any, way: Way) -> None:
        self.model, self.memory, self.way = model, memory, way
        state = model.begin(memory)
        self.device = device_of(state)
        rows, self.positions = len(way.room), max(way.room) + 1
        # Copies: a state may share memory with the source, or its rows with one another.
        self.state = model.reorder(state, torch.arange(rows, device=self.device))
        self.token_B = torch.full((rows,), way.bos, device=self.device)
        self.room_B = torch.tensor(list(way.room), device=self.device)
        self.going_B = torch.ones(rows, dtype=torch.bool, device=self.device)
        self.position_1 = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.nothing_B1 = torch.zeros(rows, 1, device=self.device)
        self.tokens_BT = torch.full((rows, self.positions), way.eos, device=self.device)
        self.gains_BT = torch.zeros(rows, self.positions, device=self.device)

    def step(self) -> None:
        """All in place, without a look at any number."""
        logits_BV, state = self.model.step(self.token_B, self.state, self.memory)
        gain_B1, token_B1 = likeliest(logits_BV.unsqueeze(1), self.nothing_B1, 1, self.way.forbidden)
        self.tokens_BT.index_copy_(1, self.position_1, token_B1)
        self.gains_BT.index_copy_(1, self.position_1, gain_B1.to(self.gains_BT.dtype))
        self.going_B &= (token_B1.squeeze(1) != self.way.eos) & (self.position_1 < self.room_B)
        self.token_B.copy_(token_B1.squeeze(1))
        for mine, new in zip(tensors(self.state), tensors(state), strict=True):
            mine.copy_(new)
        self.position_1 += 1


def _captured(step: Play, capture: Capture) -> Play:
    try:
        return capture(step)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        _log.info("a step of the search can't be captured, and is issued from here each time (%s)", reason)
        return step


def cuda_graph(step: Play) -> Play:
    """A step as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    # The first context: where capturing fails, torch leaves the stream of the graph as the current one. Others of this
    # process may go on with the GPU meanwhile.
    with (
        torch.cuda.stream(torch.cuda.current_stream()),
        torch.cuda.graph(graph, capture_error_mode="thread_local"),
    ):
        step()
    return graph.replay
