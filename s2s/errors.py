"""The one error that a user's mistake raises: what, got, expected, what to do. The command line exits with 2 on it."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message says what was wrong, what was got, what was expected and what to do."""


class MissingExtraError(UserError):
    """An optional library is not installed; the message names the pip line."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed. Install it with: pip install 's2s[{extra}]'"
        )
