"""The one exception with which any part of the server turns a request down; the path's dialect gives it its shape."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  (it is a reply, not a fault)
    """A request that is answered with an error: an HTTP status and a sentence for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
