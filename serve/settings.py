"""The limits of a server, checked once, before it listens."""

from __future__ import annotations

from dataclasses import dataclass

from s2s.errors import UserError


@dataclass(frozen=True)
class Settings:
    """What a server accepts. A limit of -1 means none.

    char_limit: characters of one request, over all its texts. batch_limit: texts of one request. max_body: bytes of one
    request. alternatives_limit: further hypotheses that a request may ask for (each widens the beam, so there always is
    a limit). workers: translations that run at the same time. allow_origin: the web origin whose pages may read the
    answers, "*" for all, "" for none.
    """

    char_limit: int = -1
    batch_limit: int = -1
    max_body: int = 4 * 2**20
    alternatives_limit: int = 10
    workers: int = 2
    allow_origin: str = "*"

    def __post_init__(self) -> None:
        """Raise UserError for a value that no server can keep."""
        least = {"char_limit": -1, "batch_limit": -1, "max_body": 1, "alternatives_limit": 0, "workers": 1}
        for key, bound in least.items():
            value = getattr(self, key)
            if value < bound or (bound == -1 and value == 0):
                allowed = "-1 (no limit) or at least 1" if bound == -1 else f"at least {bound}"
                raise UserError(f"The server's {key} is {value}; it must be {allowed}.")
        if not (self.allow_origin.isascii() and self.allow_origin.isprintable()):
            raise UserError(f"The server's allow_origin is {self.allow_origin!r}; it must be *, an origin or empty.")
