"""The one exception with which any part of the server turns a request down; the path's dialect gives it its shape."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  (it is a reply, not a fault)
    """A request that is answered with an error: an HTTP status and a sentence for the client.

    retry_after: seconds until it is worth asking again. about_key: the key is missing or wrong, which some dialects
    answer with another status. code: a word for programs, in dialects that have such words.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: float | None = None,
        about_key: bool = False,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.about_key = about_key
        self.code = code
