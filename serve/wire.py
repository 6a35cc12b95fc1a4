"""How bytes of a connection become requests: uvicorn's readers, whose own refusal has a dialect's shape here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from .libretranslate import error
from .refusal import Refusal

ENOUGH = 65_536
"""Bytes that are sent at once."""


class Joining:
    """A transport that sends together what is written in one turn of the loop: the head of an answer and its body."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written = bytearray()

    def write(self, data: bytes) -> None:
        """Send soon; what is too much to keep goes now, so that the transport may ask for a pause."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written += data
        if len(self._written) >= ENOUGH:
            self._send()

    def close(self) -> None:
        """Send what is written, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._written and not self._transport.is_closing():
            self._transport.write(bytes(self._written))
        self._written.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def joining(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> asyncio.Transport:
    """The transport as `Joining`."""
    return transport if isinstance(transport, Joining) else cast(asyncio.Transport, Joining(transport, loop))


class Thorough(H11Protocol):
    """Reads whatever HTTP allows, in Python. What is no HTTP is refused as on a path that no dialect claims."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(joining(transport, self.loop))

    def send_400_response(self, msg: str) -> None:
        refuse(self.transport, msg)


def refuse(transport: asyncio.Transport, why: str) -> None:
    """Answer 400 and close the connection."""
    body = json.dumps(error(Refusal(400, why))).encode()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    transport.close()


def reader() -> type[asyncio.Protocol]:
    """The faster reader, where httptools is installed."""
    try:
        from .swift import Swift
    except ImportError:
        return Thorough
    return Swift


def new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop, or None (asyncio's own) where that is not installed, as on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make
