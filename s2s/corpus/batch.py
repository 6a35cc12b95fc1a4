"""Batches: which rows stand together (length buckets with little padding) and the padded tensors of those rows.

Shapes: B rows, S source positions, T target positions (the target and one mark: BOS in front, or EOS behind).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

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


def make_batch(
    chosen: Sequence[Example],
    rows: Sequence[int],
    *,
    reverse_source: bool = False,
    append_eos_to_source: bool = False,
) -> Batch:
    """The chosen examples as int64 tensors on the CPU, padded with PAD behind their ends.

    Sources are reversed inside their own length; an EOS that is appended stays last. Both dimensions are at least 1.
    `rows` are the examples' numbers.
    """
    sources = [example.source[::-1] if reverse_source else example.source for example in chosen]
    ends = [EOS] if append_eos_to_source else []
    source_BS, source_lengths_B = _padded([[*ids, *ends] for ids in sources])
    target_in_BT, target_lengths_B = _padded([[BOS, *example.target] for example in chosen])
    target_out_BT, _ = _padded([[*example.target, EOS] for example in chosen])
    return Batch(
        source_BS,
        source_lengths_B,
        target_in_BT,
        target_out_BT,
        target_lengths_B,
        list(rows),
        sum(len(example.target) + 1 for example in chosen),
    )


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
) -> list[list[int]]:
    """The batches of an epoch as lists of rows, each row in exactly one; a function of its arguments alone.

    At most `size` rows a batch, and rows * (longest source + 1 + longest target + 1) <= `tokens` (each side with one
    mark); both may be given. A pair that is longer than the budget is a batch of its own. Rows are shuffled, sorted by
    source length and then target length inside pools of about `pool` batches (None: as many as 131,072 rows fill; 1:
    no length buckets), cut, and the batches shuffled; without `shuffle` they stay in the order of lengths. In epoch 0
    the batch with the most padded tokens is first: out of memory shows at once.
    UserError when neither limit is given or one is below 1.
    """
    _check_limits(size, tokens)
    sources, targets = (np.asarray(lengths, dtype=np.int64) for lengths in (source_lengths, target_lengths))
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} source lengths, {len(targets)} target lengths")
    rows_a_pool = _pool_rows(sources, targets, size, tokens, pool) if shuffle else max(1, len(sources))
    order = _sorted_rows(sources, targets, (seed, epoch) if shuffle else None, rows_a_pool)
    bounds = _cut(sources[order], targets[order], size, tokens, pool=rows_a_pool if rows_a_pool > 1 else len(order))
    rows = order.tolist()
    batches: list[list[int]] = [rows[start:stop] for start, stop in bounds]
    if shuffle:
        batches = [batches[i] for i in random_order(len(batches), seed, epoch, 1).tolist()]
    return _largest_first(batches, sources, targets) if epoch == 0 else batches


def padding_share(plan: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The part of one side's padded positions that is padding: 0 when all rows of every batch are equally long."""
    used = sum(lengths[row] for rows in plan for row in rows)
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in plan)
    return 1 - used / padded if padded else 0.0


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
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
    if pool is None or pool == 1:
        return _POOL if pool is None else 1
    if size is None or tokens is not None:
        mean = float((sources + targets).mean()) + 2.0 if len(sources) else 1.0
        size = min(size or len(sources) or 1, max(1, int((tokens or 0) / mean)))
    return pool * size


def _sorted_rows(sources: Ints, targets: Ints, seeds: tuple[int, int] | None, rows_a_pool: int) -> Ints:
    """Rows by (pool, source length, target length, chance). Target lengths run up and down in turn, so that a batch
    that reaches from one source length into the next holds targets of one size."""
    count = len(sources)
    order = np.arange(count) if seeds is None else random_order(count, *seeds, 0)
    pools = np.zeros(count, dtype=np.int64) if seeds is None else np.arange(count) // rows_a_pool
    source, target = sources[order], targets[order]
    tallest = int(targets.max(initial=0))
    snake = np.where(source % 2 == 0, target, tallest - target)
    key = (pools * (int(sources.max(initial=0)) + 1) + source) * (tallest + 1) + snake
    return order[np.argsort(key, kind="stable")]


def _cut(sources: Ints, targets: Ints, size: int | None, tokens: int | None, *, pool: int) -> list[tuple[int, int]]:
    """Bounds of the batches in sorted rows; no batch reaches over the end of a pool."""
    most = len(sources) if size is None else size
    bounds: list[tuple[int, int]] = []
    for begin in range(0, len(sources), max(1, pool)):
        stop = min(begin + pool, len(sources))
        if tokens is None:
            bounds += [(start, min(start + most, stop)) for start in range(begin, stop, most)]
        else:
            starts = _greedy(sources[begin:stop].tolist(), targets[begin:stop].tolist(), most, tokens)
            bounds += [(begin + a, begin + b) for a, b in zip(starts, [*starts[1:], stop - begin], strict=True)]
    return bounds


def _greedy(sources: list[int], targets: list[int], most: int, tokens: int) -> list[int]:
    """Where each batch starts when rows are added until the next one would break a limit."""
    starts = [0]
    start = source = target = 0
    for row, (s, t) in enumerate(zip(sources, targets, strict=True)):
        source = s if s > source else source  # `max` would be half the time of a large epoch
        target = t if t > target else target
        rows = row - start + 1
        if rows > 1 and (rows > most or rows * (source + target + 2) > tokens):
            starts.append(row)
            start, source, target = row, s, t
    return starts


def _largest_first(batches: list[list[int]], sources: Ints, targets: Ints) -> list[list[int]]:
    if not batches:
        return batches
    sizes = np.fromiter(map(len, batches), dtype=np.int64, count=len(batches))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.fromiter(chain.from_iterable(batches), dtype=np.int64, count=int(sizes.sum()))
    costs = sizes * (np.maximum.reduceat(sources[rows], starts) + np.maximum.reduceat(targets[rows], starts) + 2)
    largest = int(costs.argmax())
    return [batches[largest], *batches[:largest], *batches[largest + 1 :]]
