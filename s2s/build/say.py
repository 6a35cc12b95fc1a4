"""How the rooms above the training loop talk to the console: the text as it is, one line a line."""

from __future__ import annotations

from rich.console import Console


def make_console() -> Console:
    """Standard error. Only a terminal gets colours and lines wrapped at its width; a log gets plain, whole lines."""
    console = Console(stderr=True, emoji=False)
    console.soft_wrap = not console.is_terminal
    return console


def say(console: Console, text: str) -> None:
    """A line without markup; a warning is yellow."""
    style = "yellow" if text.startswith("warning") else None
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
