"""What tests of the server share: a real one on a free port, and one that is a program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import serve_stub
from starlette.types import ASGIApp

from s2s.serve.listen import Server, open_socket, url_of


@contextmanager
def live(app: ASGIApp) -> Iterator[str]:
    """A real server over an application; the URL where it listens."""
    ready = threading.Event()
    with open_socket("127.0.0.1", 0) as listener:
        server = Server(app, ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            assert ready.wait(20)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`serve_stub.py HOST PORT`, which does not outlive the context."""
    command = [sys.executable, serve_stub.__file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
