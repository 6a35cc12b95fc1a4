"""Ctrl-C and SIGTERM as a wish to stop after the update under way; a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within the context, signals set a flag that the yielded function reads (Python gives them to the main thread)."""
    stopped = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped = True
        say("Stopping after this update and saving. Ctrl-C again stops at once, back to the last checkpoint.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield lambda: stopped
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
