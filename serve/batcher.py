"""Batches over all requests: what waits for one model is answered together, off the event loop.

While the workers are busy, items gather; one that is free takes the next batch at once, so a server at rest adds no
waiting. After a batch of several requests it waits while their clients come back, a few milliseconds apart: otherwise
the first of them would be answered alone, and all others wait for that. Several workers take equal shares of what there
is, and wait for clients one after the other: else they would begin together, and then rest together while answers are
written. All that is here runs on the event loop but the work itself, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from .refusal import Refusal

TURN = 0.001
"""Seconds between two looks at who has come."""

SHARE = 0.1
"""Of the time that a batch took: so long its worker waits for requests at least. A half-full batch costs more."""

PAUSES = 5
"""So many pauses of a worker are the most that it waits."""

Work: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
"""From items to as many answers. What they are is the caller's."""


@dataclass(frozen=True)
class Bounds:
    """What a batch and the queue hold.

    Attributes:
        items: of a batch.
        room: of a batch: its items times the size of the largest, to which all are padded. One item may be larger.
        queue: items that wait, from which on requests are refused.
        gather: seconds without a new item after which a worker that has answered several requests waits no longer, or
            more of them after a batch that took long; 0: it never waits.
        workers: batches at a time.
    """

    items: int
    room: int
    queue: int
    gather: float
    workers: int


class Watcher(Protocol):
    """Is told of each batch: how many items it has, and the sum of their sizes."""

    def batched(self, items: int, size: int) -> None: ...


@dataclass(eq=False)
class Job:
    """What one request asks for: items with their sizes, the numbers of those not begun, and the answers so far."""

    items: Sequence[Any]
    sizes: Sequence[int]
    done: asyncio.Future[list[Any]]
    waiting: deque[int] = field(default_factory=deque)
    answers: dict[int, Any] = field(default_factory=dict)

    def keep(self, number: int, answer: Any) -> None:
        """Note an answer; with the last one the request is answered."""
        self.answers[number] = answer
        if len(self.answers) == len(self.items) and not self.done.done():
            self.done.set_result([self.answers[place] for place in range(len(self.items))])


@dataclass(frozen=True)
class Part:
    """An item of a job."""

    job: Job
    number: int

    @property
    def item(self) -> Any:
        return self.job.items[self.number]

    @property
    def size(self) -> int:
        return self.job.sizes[self.number]


class Lane:
    """What one function is to be called with: the jobs, the one that was served longest ago in front."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.jobs: deque[Job] = deque()

    def take(self, most: int, room: int) -> list[Part]:
        """The next batch, which leaves the queue: so many items, with so much room, at most.

        Jobs offer an item in turn, so that a large one does not keep small ones waiting. The first of the job in front
        sets the size, and what is nearest to it comes along.
        """
        first, *offered = self._offered(2 * most)
        batch, largest = [first], first.size
        for part in sorted(offered, key=lambda part: abs(part.size - first.size)):
            largest = max(largest, part.size)
            if len(batch) == most or largest * (len(batch) + 1) > room:
                break
            batch.append(part)
        self._remove(batch)
        return batch

    def _offered(self, most: int) -> list[Part]:
        """The first item of each job, then the second of each, ..."""
        offered: list[Part] = []
        left, rank = list(self.jobs), 0
        while left and len(offered) < most:
            offered += [Part(job, job.waiting[rank]) for job in left[: most - len(offered)]]
            rank += 1
            left = [job for job in left if len(job.waiting) > rank]
        return offered

    def _remove(self, batch: Sequence[Part]) -> None:
        taken: dict[Job, set[int]] = {}
        for part in batch:
            taken.setdefault(part.job, set()).add(part.number)
        for job, numbers in taken.items():
            job.waiting = deque(number for number in job.waiting if number not in numbers)
        behind = [job for job in self.jobs if job in taken and job.waiting]
        self.jobs = deque([*(job for job in self.jobs if job not in taken), *behind])

    def drop(self, job: Job) -> None:
        """What a job has left is not wanted any more."""
        self.jobs = deque(other for other in self.jobs if other is not job)


class Batcher:
    """A lane for each kind of work, and the threads that it is done in; lanes take turns."""

    def __init__(self, bounds: Bounds, watcher: Watcher) -> None:
        self._bounds = bounds
        self._watcher = watcher
        self._lanes: dict[Hashable, Lane] = {}
        self._threads = ThreadPoolExecutor(bounds.workers, thread_name_prefix="translate")
        self._free = bounds.workers
        self.waiting = 0
        """Items that no worker has begun with."""
        self._working = 0
        """Items that a worker is at."""
        self._away = 0
        """Requests that were answered, and whose clients are waited for."""
        self._turn = asyncio.Lock()
        """Held by the worker that waits for clients."""
        self._running: set[asyncio.Task[None]] = set()

    async def rest(self) -> None:
        """Come back when nothing waits and nobody works."""
        while self._lanes or self._running:
            await asyncio.sleep(0.01)

    async def ask(self, key: Hashable, work: Work, items: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
        """The answers to items, in their order. Items of equal keys are answered together, by the work of one of them.

        Whoever is cancelled here leaves the queue. Raises Refusal (503) when it is full, and what the work raises.
        """
        if self.waiting >= self._bounds.queue:
            raise Refusal(503, "The server is busy; try again in a moment", retry_after=1)
        if not items:
            return []
        job = Job(items, sizes, asyncio.get_running_loop().create_future(), deque(range(len(items))))
        lane = self._lanes.setdefault(key, Lane(work))
        lane.jobs.append(job)
        self.waiting += len(items)
        self._away = max(0, self._away - 1)
        self._start()
        try:
            return await job.done
        finally:
            lane.drop(job)
            self.waiting -= len(job.waiting)
            if not lane.jobs and self._lanes.get(key) is lane:
                del self._lanes[key]

    def _start(self) -> None:
        """Give each free worker a batch."""
        while self._free and self._lanes:
            key, lane = next(iter(self._lanes.items()))
            batch = lane.take(self._share(), self._bounds.room)
            self.waiting -= len(batch)
            self._working += len(batch)
            del self._lanes[key]
            if lane.jobs:
                self._lanes[key] = lane  # behind the others
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run(lane.work, batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _share(self) -> int:
        """Of all that is there, and may soon be there again, what one of the workers may take."""
        return min(self._bounds.items, math.ceil((self.waiting + self._working + self._away) / self._bounds.workers))

    async def _run(self, work: Work, batch: Sequence[Part]) -> None:
        time = asyncio.get_running_loop().time
        jobs, start = len({part.job for part in batch}), time()
        self._watcher.batched(len(batch), sum(part.size for part in batch))
        try:
            try:
                await self._answer(work, batch)
            finally:
                self._working -= len(batch)
            if jobs > 1 and self._bounds.gather:
                self._away += jobs
                await self._gather(jobs, max(self._bounds.gather, SHARE * (time() - start)))
        finally:
            self._free += 1
            self._start()

    async def _gather(self, jobs: int, pause: float) -> None:
        """Wait until a share of all clients has come back, or nobody comes any more; `jobs` were answered just now.

        Turns of the event loop are counted, not seconds: as long as it is busy with the last answers, nobody can come.
        """
        turns = math.ceil(pause / TURN)
        async with self._turn:
            seen, quiet = self.waiting, 0
            for _ in range(PAUSES * turns):
                if seen >= self._share():
                    return
                if quiet >= turns:
                    break
                await asyncio.sleep(TURN)
                quiet = 0 if self.waiting > seen else quiet + 1
                seen = self.waiting
            self._away = max(0, self._away - jobs)

    async def _answer(self, work: Work, batch: Sequence[Part]) -> None:
        """Answer the parts of a batch; where that fails, each job by itself, so that none spoils another."""
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._threads, _called, work, batch)
        except Exception as error:
            jobs = list(dict.fromkeys(part.job for part in batch))
            if len(jobs) > 1:
                for job in jobs:
                    await self._answer(work, [part for part in batch if part.job is job])
            elif not jobs[0].done.done():
                jobs[0].done.set_exception(error)
        else:
            for part, answer in zip(batch, answers, strict=True):
                part.job.keep(part.number, answer)


def _called(work: Work, batch: Sequence[Part]) -> Sequence[Any]:
    answers = work([part.item for part in batch])
    if len(answers) != len(batch):
        raise RuntimeError(f"{len(batch)} lines in, {len(answers)} answers out")
    return answers
