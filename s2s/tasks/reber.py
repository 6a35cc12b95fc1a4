"""Reber's grammar: does a string of symbols keep to it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s.tasks.streams import Stream
from s2s.tasks.task import NOTHING, Classes, Series, Symbols, check_length, numbered

SYMBOLS = "BEPSTVX"
"""A symbol's id is its place here, from 1."""

_ARCS: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
    {},
)
"""From each node the symbols that may follow, and the node each leads to; a string ends at the last node."""
_CHOICES = tuple(tuple(arcs.items()) for arcs in _ARCS)


@dataclass(frozen=True)
class Reber:
    """Half of the strings are walks through the grammar (Reber 1967), each arc as likely as the others of its node.

    The others begin like one walk, end like another, and are no walk: two walks are cut at any place and joined, again
    and again until the string is ungrammatical. Strings are no longer than `length`.
    Published (Ostmeyer and Cowell 2017, arXiv 1703.01253, whose code is github.com/jostmey/rwa): the same strings, at
    most 50 symbols read as one-hot vectors, 10,000 for training and 10,000 for the test, batches drawn from them with
    repetition. Chosen here: each epoch has fresh examples; the test strings are made as the training strings are (the
    author's second cut follows the length of the first walk, which leaves a few of his empty or without an end).
    Event "error": the first symbol that may not stand where it does.
    """

    seed: int
    length: int = 50
    name = "reber"
    inputs = Symbols(len(SYMBOLS))
    target = Classes(2)
    each_step = False
    splits = numbered(train=10_000, valid=1_000, test=10_000)
    note = (
        "Published: at most 50 symbols, half of the strings ungrammatical, 10,000 fixed training strings. Chosen here:"
        " fresh training strings each epoch, 1,000 more for validation. Short strings recur, in all parts."
    )

    def __post_init__(self) -> None:
        check_length(self.name, self.length, 5, 1_000, "symbols", "BTXSE and BPVVE are the shortest strings")

    def draw(self, rows: Sequence[int], epoch: int) -> Series:
        drawn = [self._example(row, epoch) for row in rows]
        lengths = np.array([len(string) for string, _ in drawn], dtype=np.int64)
        inputs = np.zeros((len(drawn), lengths.max(initial=1)), dtype=np.int64)
        for ids, (string, _) in zip(inputs, drawn, strict=True):
            ids[: len(string)] = [SYMBOLS.index(symbol) + 1 for symbol in string]
        errors = np.array([error for _, error in drawn], dtype=np.int64)
        return Series(inputs, lengths, (errors == NOTHING).astype(np.int64), {"error": errors})

    def _example(self, row: int, epoch: int) -> tuple[str, int]:
        """A string, and where its error is."""
        stream = Stream(row, seed=self.seed, epoch=epoch, fresh=self.splits.train)
        right = stream.below(2) == 1
        while True:
            string = _walk(stream) if right else _joined(stream)
            error = first_error(string)
            if len(string) <= self.length and (error == NOTHING) == right:
                return string, error


def first_error(string: str) -> int:
    """The step of the first symbol that may not stand there, or of the missing end; NOTHING in a grammatical string."""
    node = 0
    for step, symbol in enumerate(string):
        if symbol not in _ARCS[node]:
            return step
        node = _ARCS[node][symbol]
    return NOTHING if node == len(_ARCS) - 1 else len(string)


def _walk(stream: Stream) -> str:
    string, node = "", 0
    while choices := _CHOICES[node]:
        symbol, node = choices[stream.below(len(choices))]
        string += symbol
    return string


def _joined(stream: Stream) -> str:
    begin, end = _walk(stream), _walk(stream)
    return begin[: stream.below(len(begin))] + end[stream.below(len(end)) :]
