"""The outermost layer: CORS headers on every reply, preflights, and an answer without a traceback when all else failed.

The framework's own CORS layer stays silent for requests without an Origin header and stands inside of the layer that
answers 500; a browser would then report a failure of CORS where the server failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("s2s.serve")


class Edge:
    """ASGI middleware. `failure(path)` makes the reply to a request that raised an error."""

    def __init__(self, app: ASGIApp, *, allow_origin: str, failure: Callable[[str], Response]) -> None:
        self._app = app
        self._failure = failure
        self._cors = _cors_headers(allow_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_cors(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(self._cors)
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await Response(status_code=204)(scope, receive, send_with_cors)
            return
        try:
            await self._app(scope, receive, send_with_cors)
        except ClientDisconnect:
            log.info("%s %s: the client went away", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:  # too late for another status: let the server cut the connection
                raise
            await self._failure(scope["path"])(scope, receive, send_with_cors)


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
