"""From an application to a listening server: the socket, the signals, and what is said about both."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from s2s.errors import UserError

from .protocols import Run
from .service import Service
from .wire import new_loop, reader

GRACE_SECONDS = 30  # for requests under way when a signal comes
SENDING_SECONDS = 5  # and then for the answers to reach their clients

log = logging.getLogger("s2s.serve")


class Server(uvicorn.Server):
    """uvicorn's server, which calls `on_ready` once it accepts connections and leaves the signals to others."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        # log_config=None: the embedding program decides about logging; warnings reach standard error in any case.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws="none",
            http=reader(),
            server_header=False,
            timeout_graceful_shutdown=SENDING_SECONDS,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: uvicorn would raise a signal again for the handlers that stood before its own, with an error."""
        yield


class Operator:
    """What signals ask of a running server: to stop, and to load its runs anew."""

    def __init__(self, server: Server, service: Service, again: Callable[[], Sequence[Run]] | None) -> None:
        self._server = server
        self._service = service
        self._again = again
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    def start(self) -> None:
        """Let the runs answer once before `/ready` says that they do."""
        self._service.warming = True
        self._start(self._warm())

    def stop(self) -> None:
        """Finish what was taken in, refuse what comes, then end; asked again, end at once."""
        if self._service.draining:
            self._server.should_exit = self._server.force_exit = True
        else:
            self._start(self._stop())

    def reload(self) -> None:
        """Load the runs anew while the old ones go on answering."""
        self._start(self._reload())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warm(self) -> None:
        await self._service.warm(self._service.runs)
        settle()
        self._service.warming = False

    async def _stop(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._service.drain()
        self._server.should_exit = True

    async def _reload(self) -> None:
        if self._again is None:
            return
        async with self._reloading:
            try:
                runs = await asyncio.to_thread(self._again)
                await self._service.warm(runs)
                self._service.serve(runs)
                settle()
            except Exception as error:
                log.error(
                    "the runs could not be loaded anew, those from before go on: %s",
                    error,
                    exc_info=None if isinstance(error, UserError) else error,
                )
                self._service.metrics.reloaded("failed")
            else:
                _say("Loaded the runs anew")
                self._service.metrics.reloaded("done")


def settle() -> None:
    """Keep the garbage collector from what is there now and stays: models and libraries, which take a tenth of a second
    to look through, in which nobody is answered. What has been replaced since the last time is collected.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def listen(
    app: ASGIApp,
    service: Service,
    *,
    host: str,
    port: int,
    again: Callable[[], Sequence[Run]] | None,
    on_ready: Callable[[str], None] | None,
) -> None:
    """Serve until SIGINT or SIGTERM, finish what is under way, return. Raises UserError when it cannot listen."""
    with open_socket(host, port) as listener:
        url = url_of(listener)

        def ready() -> None:
            _say(f"Listening on {url} (Ctrl-C stops)")
            if on_ready is not None:
                on_ready(url)

        if not is_loopback(listener):
            _say(_warning(host, with_keys=service.keys is not None))
        server = Server(app, ready)
        with asyncio.Runner(loop_factory=new_loop()) as runner:
            runner.run(_serve(server, Operator(server, service, again), listener))


async def _serve(server: Server, operator: Operator, listener: socket.socket) -> None:
    operator.start()
    handlers = {signal.SIGINT: operator.stop, signal.SIGTERM: operator.stop}
    if sys.platform != "win32":
        handlers[signal.SIGHUP] = operator.reload
    with _handling(handlers):
        try:
            await server.serve(sockets=[listener])
        finally:
            gc.unfreeze()


def _warning(host: str, *, with_keys: bool) -> str:
    reached = f"Warning: {host} can be reached from other machines"
    if with_keys:
        return f"{reached}; keys and texts travel unencrypted unless a proxy in front of it encrypts."
    return f"{reached}, and whoever reaches it may use the server; --keys FILE asks for a key."


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
def _handling(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call a function on the event loop for each signal; signals belong to the main thread, and to it alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def handle(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(handlers[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in handlers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
