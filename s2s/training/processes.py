"""The processes of one run (`torchrun -m s2s train ...`): who each is, what they sum, and what the first does alone.

Every process reads the same corpus and plans the same batches, takes every N-th row of each, and after its own backward
the gradients are summed, so all move the same weights by the same bits. One process has nothing to agree on: there the
functions give back what they were given.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from s2s.errors import UserError
from s2s.training.stop import Asked

T = TypeVar("T")

SILENCE = timedelta(minutes=30)
"""How long an update may take before the others take a process for dead. One that ends is noticed at once."""
PATIENCE = timedelta(days=7)
"""The same while the first validates, saves, or learns a vocabulary."""
_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


@dataclass(frozen=True)
class Processes:
    """One process, which is a run of its own.

    Attributes:
        rank: number of this process.
        size: how many there are.
        local_rank, local_size: the same on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    def part(self, rows: Sequence[int]) -> Sequence[int]:
        """The rows of a batch that are this process's: every N-th, so that all get rows of like length. May be none."""
        return rows[self.rank :: self.size]

    def own_generators(self, seed: int) -> None:
        """Make the random numbers of this process its own; the first goes on with those it has."""
        if self.rank:
            random.seed(seed + self.rank)
            torch.manual_seed(seed + self.rank)

    def alone(self, work: Callable[[], T]) -> T:
        """What `work` gives in the first process; the others wait for it."""
        return work()

    def gather(self, value: T) -> list[T]:
        """The value of each process, in their order."""
        return [value]

    def agree(self, seconds: float, asked: Asked) -> tuple[float, Asked]:
        """The clock of the first process, and whether the end was asked for in any."""
        return seconds, asked

    def total(self, count: int) -> int:
        """The sum of a count over all processes."""
        return count

    def merge(self, weights: Iterable[nn.Parameter], loss: float) -> float:
        """Sum the gradients over all processes in place; returns the sum of the losses."""
        del weights
        return loss

    def share(self, weights: Iterable[nn.Parameter]) -> None:
        """Give every process the weights of the first."""


ALONE = Processes()


@dataclass(frozen=True)
class Several(Processes):
    """One of several processes. All must call the same functions in the same order.

    Raises:
        UserError: (each function) another process died, or was silent for too long.
    """

    patient: Any = None
    """A group whose members wait long for each other."""

    def alone(self, work: Callable[[], T]) -> T:
        from torch import distributed

        held: list[Any] = [work() if self.rank == 0 else None]
        with _peers():
            distributed.broadcast_object_list(held, 0, group=self.patient)
        result: T = held[0]
        return result

    def gather(self, value: T) -> list[T]:
        from torch import distributed

        held: list[Any] = [None] * self.size
        with _peers():
            distributed.all_gather_object(held, value, group=self.patient)
        return held

    def agree(self, seconds: float, asked: Asked) -> tuple[float, Asked]:
        mine = [0.0 if self.rank else seconds, asked == "interrupted", asked == "terminated"]
        clock, interrupted, terminated = _sum(torch.tensor(mine, dtype=torch.float64)).tolist()
        return clock, "interrupted" if interrupted else "terminated" if terminated else ""

    def total(self, count: int) -> int:
        return int(_sum(torch.tensor([count])))

    def merge(self, weights: Iterable[nn.Parameter], loss: float) -> float:
        """As one tensor: [gradients, which of them there are, loss]. A weight that no process used stays without."""
        trained = [weight for weight in weights if weight.requires_grad]
        grads = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in trained]
        more = [loss, *(float(weight.grad is not None) for weight in trained)]
        flat = _sum(torch.cat([*(grad.flatten() for grad in grads), grads[0].new_tensor(more)]))
        *grads, sums = torch.split(flat, [*(weight.numel() for weight in trained), len(more)])
        total, *used = sums.tolist()
        for weight, grad, count in zip(trained, grads, used, strict=True):
            weight.grad = grad.view_as(weight) if count else None
        return float(total)

    def share(self, weights: Iterable[nn.Parameter]) -> None:
        from torch import distributed

        with _peers():
            for weight in weights:
                distributed.broadcast(weight.detach(), 0)


def _sum(values: Tensor) -> Tensor:
    """The sum over all processes, the same bits in each; in place."""
    from torch import distributed

    with _peers():
        distributed.all_reduce(values)
    return values


@contextmanager
def _peers() -> Iterator[None]:
    """Within the context an error is that of another process."""
    try:
        yield
    except RuntimeError:
        raise UserError(
            "another process of this run died (or was silent for too long), so this one stops too. What was saved is"
            " intact: go on from the last checkpoint with `s2s train --resume RUN`, in as many processes as before"
        ) from None


def started_together() -> bool:
    """Whether torchrun started this process with others."""
    return os.environ.keys() >= _VARIABLES and os.environ["WORLD_SIZE"] != "1"


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started together with this one; without it, one.

    A user's error is said by the first process that meets it: the others exit with code 2 and say nothing, whether they
    met the same or only noticed that one is gone.

    Raises:
        UserError: they don't find each other.
    """
    if not started_together():
        yield ALONE
        return
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    fast = torch.cuda.is_available() and distributed.is_nccl_available()
    try:
        store, rank, size = next(rendezvous("env://", timeout=SILENCE))
        # With --max-restarts the store may be the one that the processes before these wrote their addresses in.
        store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        backend = "cpu:gloo,cuda:nccl" if fast else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=SILENCE)
        patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes of this run did not find each other: {error}. Start them with"
            " `torchrun --nproc-per-node N -m s2s train ...`"
        ) from None
    local_rank, local_size = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    try:
        yield Several(rank, size, local_rank, local_size or 1, patient)
    except (UserError, OSError):
        if not _first_to_speak(store):
            raise SystemExit(2) from None
        raise
    distributed.destroy_process_group()


def _first_to_speak(store: Any) -> bool:
    try:
        return bool(store.add("spoken", 1) == 1)
    except RuntimeError:  # who keeps the store is gone as well
        return True
