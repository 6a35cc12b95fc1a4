"""Work spread over processes, in order, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from s2s.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[T], R], tasks: Sequence[T], title: str, *, workers: int | None = None) -> Iterator[R]:
    """`map(work, tasks)`, done by worker processes (None: one a core); few results wait at a time.

    Raises:
        UserError: a worker was ended, or `work` raised one.
    """
    workers = min(cores() if workers is None else workers, len(tasks))
    done = map(work, tasks) if workers <= 1 else _spread(work, tasks, workers)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(done, total=len(tasks), description=title)


def _spread(work: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    # Not forked: a copy of a process that has threads (torch, SentencePiece) may wait for ever for one of them.
    spawn = multiprocessing.get_context("spawn")
    waiting: deque[Future[R]] = deque()
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_follow_parent) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a process that reads the corpus was ended from outside, most often for want of memory. Make room and"
                " start again: what was begun is begun anew"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Ctrl-C is the parent's to handle; a worker ends with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a worker"
    parent.join()
    os._exit(1)
