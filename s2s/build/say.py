"""How the rooms above the training loop talk to the console: the text as it is, one line a line."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from s2s.errors import MissingExtraError


def make_console() -> Console:
    """Standard error. Only a terminal gets colours and lines wrapped at its width; a log gets plain, whole lines."""
    console = Console(stderr=True, emoji=False)
    console.soft_wrap = not console.is_terminal
    return console


def say(console: Console, text: str) -> None:
    """A line without markup; a warning is yellow."""
    style = "yellow" if text.startswith("warning") else None
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def counted(count: int, one: str, several: str = "") -> str:
    """`1 line`, `1,234 lines`."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def drawn_if_possible(draw: Callable[[], None], console: Console) -> None:
    """Pictures that something else ends with: a missing matplotlib is said, not fatal."""
    try:
        draw()
    except MissingExtraError as missing:
        say(console, f"no pictures: {missing}")
