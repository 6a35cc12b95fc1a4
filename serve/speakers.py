"""The runs of dialogues of one server, by the names that clients call them."""

from __future__ import annotations

from collections.abc import Sequence

from s2s.errors import UserError

from .protocols import Speaker


def by_name(speakers: Sequence[Speaker]) -> dict[str, Speaker]:
    """In the order in which they were given. Raises UserError when two of them have the same name."""
    table: dict[str, Speaker] = {}
    for speaker in speakers:
        if table.setdefault(speaker.name, speaker) is not speaker:
            raise UserError(f"Two runs of dialogues are named {speaker.name!r}; serve one of them.")
    return table
