"""Batches: which rows stand together (length buckets with little padding) and the padded tensors of those rows.

Shapes: B rows, S source positions, T target positions (the target and one mark: BOS in front, or EOS behind).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

import numpy as np
import torch
from torch import Tensor

from s2s.corpus.examples import Example, Ints
from s2s.corpus.order import random_order
from s2s.errors import UserError
from s2s.text.vocab import BOS, EOS, PAD

_POOL = 1 << 17  # examples that are sorted together: more means less padding, fewer means more mixing


@dataclass(frozen=True)
class Batch:
    """Padded rows. `target_lengths_B` counts the mark, so it holds for both targets; `tokens` is its sum."""

    source_BS: Tensor
    source_lengths_B: Tensor
    target_in_BT: Tensor  # BOS + y
    target_out_BT: Tensor  # y + EOS
    target_lengths_B: Tensor
    rows: list[int]
    tokens: int

    @property
    def extent(self) -> str:
        """How long the rows are, in words."""
        return f"{self.source_BS.shape[1]} source and {self.target_in_BT.shape[1]} target tokens"

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(
            self.source_BS.to(device),
            self.source_lengths_B.to(device),
            self.target_in_BT.to(device),
            self.target_out_BT.to(device),
            self.target_lengths_B.to(device),
            self.rows,
            self.tokens,
        )


def make_batch(chosen: Sequence[Example], rows: Sequence[int], *, reverse_source: bool = False) -> Batch:
    """The chosen examples as int64 tensors on the CPU, padded with PAD behind their ends.

    Sources are reversed inside their own length. Both dimensions are at least 1. `rows` are the examples' numbers.
    """
    sources = [example.source[::-1] if reverse_source else example.source for example in chosen]
    source_BS, source_lengths_B = pad(sources)
    target_in_BT, target_lengths_B = pad([[BOS, *example.target] for example in chosen])
    target_out_BT, _ = pad([[*example.target, EOS] for example in chosen])
    return Batch(
        source_BS,
        source_lengths_B,
        target_in_BT,
        target_out_BT,
        target_lengths_B,
        list(rows),
        sum(len(example.target) + 1 for example in chosen),
    )


class Plan(Sequence[list[int]]):
    """The batches of an epoch, each a list of rows: pieces of one order of all rows."""

    def __init__(self, order_N: Ints, starts: Ints, stops: Ints) -> None:
        self._order_N, self._starts, self._stops = order_N, starts, stops

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        rows: list[int] = self._order_N[self._starts[index] : self._stops[index]].tolist()
        return rows

    def over(self, rows_N: Ints) -> Plan:
        """The same batches where place i stands for row rows_N[i]."""
        return Plan(rows_N[self._order_N], self._starts, self._stops)


def plan_epoch(
    source_lengths: Sequence[int] | Ints,
    target_lengths: Sequence[int] | Ints,
    *,
    size: int | None,
    tokens: int | None,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    pool: int | None = None,
) -> Plan:
    """The batches of an epoch as lists of rows, each row in exactly one; a function of its arguments alone.

    At most `size` rows a batch, and rows * (longest source + 1 + longest target + 1) <= `tokens` (each side with one
    mark); both may be given. A pair that is longer than the budget is a batch of its own. Rows are shuffled, sorted by
    source length and then target length inside pools of about `pool` batches (None: as many as 131,072 rows fill; 1:
    no length buckets), cut, and the batches shuffled; without `shuffle` they stay in the order of lengths. In epoch 0
    the batch with the most padded tokens is first: out of memory shows at once.
    UserError when neither limit is given or one is below 1.
    """
    _check_limits(size, tokens)
    sources, targets = np.asarray(source_lengths), np.asarray(target_lengths)
    count = len(sources)
    if count != len(targets):
        raise ValueError(f"{count} source lengths, {len(targets)} target lengths")
    order = random_order(count, seed, epoch, 0) if shuffle else np.arange(count)
    order = order.astype(np.min_scalar_type(count))  # a large corpus keeps 4 bytes a row of this
    sort = not (shuffle and pool == 1)
    step = _pool_rows(sources, targets, size, tokens, pool) if shuffle and sort else count
    starts, costs = _cut_pools(order, sources, targets, size, tokens, step=max(1, step), sort=sort)
    stops = np.append(starts[1:], count)
    if shuffle:
        batches = random_order(len(starts), seed, epoch, 1)
        starts, stops, costs = starts[batches], stops[batches], costs[batches]
    if epoch == 0 and count:
        largest = int(costs.argmax())
        starts, stops = (np.concatenate([ends[[largest]], np.delete(ends, largest)]) for ends in (starts, stops))
    return Plan(order, starts, stops)


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids as int64 tensors on the CPU: (B, T) with PAD behind each row's end, T at least 1, and the lengths (B)."""
    lengths_B = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    width = max(1, int(lengths_B.max(initial=0)))
    ids_BT = np.full((len(rows), width), PAD, dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths_B.sum()))
    ids_BT[np.arange(width) < lengths_B[:, None]] = flat
    return torch.from_numpy(ids_BT), torch.from_numpy(lengths_B)


def _check_limits(size: int | None, tokens: int | None) -> None:
    if size is None and tokens is None:
        raise UserError("a batch needs a limit: give its size in sentences, a budget of padded tokens, or both.")
    for name, limit in (("size", size), ("tokens", tokens)):
        if limit is not None and limit < 1:
            raise UserError(f"the batch limit {name} must be 1 or more, got {limit}.")


def _pool_rows(sources: Ints, targets: Ints, size: int | None, tokens: int | None, pool: int | None) -> int:
    """Rows that are sorted together."""
    if pool is None:
        return _POOL
    if size is None or tokens is not None:
        total = int(sources.sum(dtype=np.int64)) + int(targets.sum(dtype=np.int64))
        mean = total / len(sources) + 2.0 if len(sources) else 1.0
        size = min(size or len(sources) or 1, max(1, int((tokens or 0) / mean)))
    return pool * size


def _cut_pools(
    order: Ints, sources: Ints, targets: Ints, size: int | None, tokens: int | None, *, step: int, sort: bool
) -> tuple[Ints, Ints]:
    """Sort `order` in place inside pools of `step` rows, by lengths; returns where each batch starts in it, and its
    padded tokens. No batch reaches over the end of a pool."""
    starts: list[Ints] = [np.empty(0, np.int64)]
    costs: list[Ints] = [np.empty(0, np.int64)]
    tallest = int(targets.max(initial=0))
    for begin in range(0, len(order), step):
        rows = order[begin : begin + step]
        if sort:
            rows[:] = rows[_by_length(sources[rows], targets[rows], tallest)]
        source, target = sources[rows], targets[rows]
        found = _cut(source, target, len(order) if size is None else size, tokens)
        longest = [np.maximum.reduceat(lengths, found).astype(np.int64) for lengths in (source, target)]
        costs.append(np.diff(found, append=len(rows)) * (longest[0] + longest[1] + 2))
        starts.append(begin + found)
    return np.concatenate(starts), np.concatenate(costs)


def _by_length(source: Ints, target: Ints, tallest: int) -> Ints:
    """The order by source length, then target length, then as it was. Target lengths run up and down in turn, so that
    a batch that reaches from one source length into the next holds targets of one size."""
    source, target = source.astype(np.int64), target.astype(np.int64)
    snake = np.where(source % 2 == 0, target, tallest - target)
    return np.argsort(source * (tallest + 1) + snake, kind="stable")


def _cut(source: Ints, target: Ints, most: int, tokens: int | None) -> Ints:
    """Where each batch starts in these rows."""
    return np.arange(0, len(source), most) if tokens is None else np.array(_greedy(source, target, most, tokens))


def _greedy(sources: Ints, targets: Ints, most: int, tokens: int) -> list[int]:
    """Where each batch starts when rows are added until the next one would break a limit."""
    starts = [0]
    start = source = target = 0
    for row, (s, t) in enumerate(_lengths(sources, targets)):
        source = s if s > source else source  # `max` would be half the time of a large epoch
        target = t if t > target else target
        rows = row - start + 1
        if rows > 1 and (rows > most or rows * (source + target + 2) > tokens):
            starts.append(row)
            start, source, target = row, s, t
    return starts


def _lengths(sources: Ints, targets: Ints) -> Iterator[tuple[int, int]]:
    """The lengths of one row after another, never as numbers of Python for all rows."""
    for begin in range(0, len(sources), _POOL):
        yield from zip(*(part[begin : begin + _POOL].tolist() for part in (sources, targets)), strict=True)
