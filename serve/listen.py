"""From an application to a listening server: the socket, the signals, and what is said about both."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from s2s.errors import UserError

GRACE_SECONDS = 30  # for requests under way when a signal comes


class Server(uvicorn.Server):
    """uvicorn's server, which calls `on_ready` once it accepts connections."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        # log_config=None: the embedding program decides about logging; warnings reach standard error in any case.
        config = uvicorn.Config(
            app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=GRACE_SECONDS
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def listen(app: ASGIApp, *, host: str, port: int, on_ready: Callable[[str], None] | None) -> None:
    """Serve until SIGINT or SIGTERM, finish what is under way, return. Raises UserError when it cannot listen."""
    with open_socket(host, port) as listener:
        url = url_of(listener)

        def ready() -> None:
            _say(f"Listening on {url} (Ctrl-C stops)")
            if on_ready is not None:
                on_ready(url)

        if not is_loopback(listener):
            _say(f"Warning: {host} can be reached from other machines, and whoever reaches it may use the server.")
        server = Server(app, ready)
        with _signals_stop(server):
            server.run(sockets=[listener])


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises UserError that says what to do instead."""
    if not 0 <= port <= 65535:
        raise UserError(f"The port is {port}; it must be 0 (any free port) to 65535.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(f"The host {host!r} is not an address of this machine: {error}. Try 127.0.0.1.") from None
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # elsewhere: a restart need not wait for old connections; there: would steal ports
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)  # now, not later: until then another program could still take the port
    except OSError as error:
        listener.close()
        raise UserError(_cannot_listen(host, port, error)) from None
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is in use by another program. "
                f"Stop that one, or choose another port; port 0 takes any free one."
            )
        case errno.EACCES:
            return f"Port {port} on {host} may not be opened by this user; choose one from 1024 to 65535."
        case _:
            return f"Cannot listen on {host}, port {port}: {error.strerror}. Try the host 127.0.0.1."


def url_of(listener: socket.socket) -> str:
    """The URL at which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(_plain(host)).is_unspecified:
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ipaddress.ip_address(_plain(listener.getsockname()[0])).is_loopback


def _plain(host: str) -> str:
    """An IPv6 address without its zone (fe80::1%eth0)."""
    return host.partition("%")[0]


@contextmanager
def _signals_stop(server: Server) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into an ordinary end.

    uvicorn stops gracefully, but then raises the signal again for the handlers that stood before its own, and the
    default ones end the process with an error. These here only ask for the stop. Signals belong to the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
