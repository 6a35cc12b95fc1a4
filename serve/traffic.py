"""Around every request: it is counted, timed and logged, and given up when its client goes away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics

log = logging.getLogger("s2s.serve")

GONE = 499
"""What the log and the figures call a request whose client did not wait (nginx' number)."""


@dataclass
class Seen:
    """What is found out about a request on its way; stands in the scope as `s2s`."""

    caller: str = ""
    texts: Sequence[str] = ()
    status: int = 0


def note(scope: Scope, caller: str, texts: Sequence[str]) -> None:
    """Tell the log who asks for what."""
    if isinstance(seen := scope.get("s2s"), Seen):
        seen.caller, seen.texts = caller, texts


class Traffic:
    """ASGI middleware, the outermost. `with_texts`: the log holds them too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, with_texts: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._with_texts = with_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = scope["s2s"] = Seen()
        start = time.perf_counter()
        try:
            with self._metrics.in_progress.track_inprogress():
                await self._attended(scope, receive, send, seen)
        finally:
            seconds = time.perf_counter() - start
            self._metrics.answered(_route(scope), seen.status or GONE, seconds)
            self._write(scope, seen, seconds)

    async def _attended(self, scope: Scope, receive: Receive, send: Send, seen: Seen) -> None:
        """Run the application, and cancel it when the client is gone."""
        task = asyncio.current_task()
        assert task is not None
        client = Client(receive, task.cancel)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            elif not message.get("more_body", False):
                client.leave_alone()  # from now on a closed connection is the ordinary end
            await send(message)

        try:
            await self._app(scope, client.receive, sending)
        except asyncio.CancelledError:
            if not client.gone:
                raise
            task.uncancel()
            seen.status = GONE
        finally:
            client.leave_alone()

    def _write(self, scope: Scope, seen: Seen, seconds: float) -> None:
        """One line of the log; paths stand there as the routes they are, since others may hold anything."""
        if not log.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Any] = {
            "method": scope["method"][:20],
            "route": _route(scope),
            "status": seen.status or GONE,
            "ms": round(1000 * seconds, 1),
            "caller": seen.caller or (scope["client"][0] if scope.get("client") else ""),
        }
        if seen.texts:
            fields |= {"texts": len(seen.texts), "characters": sum(map(len, seen.texts))}
            fields |= {"text": list(seen.texts)} if self._with_texts else {}
        log.info("request", extra={"fields": fields})


class Client:
    """The receiving side of a request; once the body has come it listens on, to `cancel` when the client goes."""

    def __init__(self, receive: Receive, cancel: Callable[[], object]) -> None:
        self._receive = receive
        self._cancel = cancel
        self._listening: asyncio.Task[None] | None = None
        self.gone = False

    async def receive(self) -> Message:
        if self._listening is not None:
            await asyncio.wait([self._listening])
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._listening = asyncio.create_task(self._listen())
        return message

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._cancel()

    def leave_alone(self) -> None:
        """Do not listen any more."""
        if self._listening is not None:
            self._listening.cancel()


def _route(scope: Scope) -> str:
    """The path as the application declares it; `other` for all that it does not know."""
    return str(getattr(scope.get("route"), "path", "other"))
