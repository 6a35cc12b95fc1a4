"""Requests read in C by httptools, as far as they are ordinary; needs httptools."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .wire import Thorough, joining, refuse

ORDINARY = re.compile(rb"(?:DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /(?!/)")
"""How requests begin that httptools reads as the other reader does; it knows a list of methods and of addresses."""

UPGRADE = re.compile(rb"\nupgrade[ \t]*:", re.IGNORECASE)
"""A wish for another protocol, behind which httptools reads no body. Java's client begins with it."""

END = re.compile(rb"\n\r?\n")

MOST = 65_536
"""Bytes of a head, of a chunk's size or of trailers: as much as the other reader takes."""


class Swift(HttpToolsProtocol):
    """Looks at each head, and hands the connection over to `Thorough` when it is no ordinary one."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app_state = app_state
        self._head = bytearray()
        self._between = True  # requests: the next byte begins one
        self._unread = 0  # bytes since the last one that meant something
        self._refused = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(joining(transport, self.loop))

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._between and not self._answering:
            self._begin(data)
        else:
            self._feed(data)

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin(self, data: bytes) -> None:
        """Wait for the whole head, then choose who reads it."""
        self._unset_keepalive_if_required()
        seen = len(self._head)
        self._head += data
        end = END.search(self._head, max(0, seen - 2))
        if end is None and len(self._head) <= MOST and self._head[0] > ord(" "):  # else it is no head, or an odd one
            return
        come, self._head = bytes(self._head), bytearray()
        if end is not None and _ordinary(come[: end.end()]):
            self._feed(come)
        else:
            self._hand_over(come)

    def _feed(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MOST and not self.transport.is_closing():
            self.send_400_response("The request has too much between its parts")

    def _hand_over(self, data: bytes) -> None:
        self.connections.discard(self)
        other = Thorough(self.config, self.server_state, self._app_state, self.loop)
        self.transport.set_protocol(other)
        other.connection_made(self.transport)
        other.data_received(data)

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._between, self._unread = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse, behind the answers to what was asked before on this connection."""
        self._refused = msg
        if not (self._answering and not self.cycle.more_body):
            refuse(self.transport, msg)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused and not self._answering and not self.transport.is_closing():
            refuse(self.transport, self._refused)


def _ordinary(head: bytes) -> bool:
    """Lines end as they should, too: httptools is stricter there."""
    return ORDINARY.match(head) is not None and not UPGRADE.search(head) and head.count(b"\r\n") == head.count(b"\n")
