"""Headers of every reply (strict ones, CORS), preflights, and an answer without a traceback when all else failed.

The framework's own CORS layer stays silent for requests without an Origin header and stands inside of the layer that
answers 500; a browser would then report a failure of CORS where the server failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("s2s.serve")

STRICT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every reply that has none of its own of that name: answers are data and never a page."""


class Edge:
    """ASGI middleware. `failure(path)` makes the reply to a request that raised an error."""

    def __init__(self, app: ASGIApp, *, allow_origin: str, failure: Callable[[str], Response]) -> None:
        self._app = app
        self._failure = failure
        self._cors = _raw(_cors_headers(allow_origin))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._headers(message.get("headers", ()))
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await Response(status_code=204)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("%s %s: the client went away", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:  # too late for another status: let the server cut the connection
                raise
            await self._failure(scope["path"])(scope, receive, send_with_headers)

    def _headers(self, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """A reply's own headers, those of CORS in the place of its own, and the strict ones that it lacks."""
        kept = [header for header in own if header[0] not in self._cors]
        names = {name for name, _ in kept}
        return [*kept, *self._cors.items(), *(header for header in RAW.items() if header[0] not in names)]


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """As ASGI has them, with names in lower case."""
    return {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}


RAW = _raw(STRICT)


def _cors_headers(allow_origin: str) -> dict[str, str]:
    if not allow_origin:
        return {}
    headers = {
        "Access-Control-Allow-Origin": allow_origin,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "86400",
    }
    return headers if allow_origin == "*" else headers | {"Vary": "Origin"}
