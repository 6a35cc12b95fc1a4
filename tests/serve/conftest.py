"""Servers for the tests: one in memory, one real on a free port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from serve_stub import Reversing

from s2s.serve.app import Settings, create_app
from s2s.serve.listen import Server, open_socket, url_of


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """One run, en to de, default limits."""
    with TestClient(create_app([Reversing()])) as client:
        yield client


@pytest.fixture(scope="module")
def live_url() -> Iterator[str]:
    """A real server over one run, en to de, with a small limit on the body; the URL where it listens."""
    ready = threading.Event()
    listener = open_socket("127.0.0.1", 0)
    server = Server(create_app([Reversing()], Settings(max_body=100_000)), ready.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        assert ready.wait(20)
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
