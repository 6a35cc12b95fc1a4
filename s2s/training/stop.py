"""Ctrl-C and SIGTERM as a wish to stop after the update under way; a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

Asked = Literal["", "interrupted", "terminated"]


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[Callable[[], Asked]]:
    """Within the context, the yielded function says which signal came first, if one did.

    Python gives signals to the main thread; in another one none is waited for.
    """
    asked: Asked = ""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = asked or ("interrupted" if number == signal.SIGINT else "terminated")
        say("Stopping after this update and saving. Ctrl-C again stops at once, back to the last checkpoint.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield lambda: asked
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
