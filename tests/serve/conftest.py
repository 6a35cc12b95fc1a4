"""Servers for the tests: one in memory, one real on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from serve_stub import Reversing
from serve_tools import live

from s2s.serve.app import Settings, create_app


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """One run, en to de, default limits."""
    with TestClient(create_app([Reversing()])) as client:
        yield client


@pytest.fixture(scope="module")
def live_url() -> Iterator[str]:
    """A real server over one run, en to de, with a small limit on the body; the URL where it listens."""
    with live(create_app([Reversing()], Settings(max_body=100_000))) as url:
        yield url
