"""How bytes become requests and answers bytes: two readers with one contract, and what is sent together."""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
from collections.abc import Iterator
from unittest import mock

import pytest
from serve_stub import Reversing
from serve_tools import live

from s2s.serve import listen
from s2s.serve.app import Settings, create_app
from s2s.serve.wire import ENOUGH, Joining, Thorough, new_loop, reader

BODY = b'{"q": "a b", "source": "en", "target": "de"}'
HEAD = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ASK = HEAD + b"Content-Length: %d\r\n" % len(BODY)
LAST = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module", params=["thorough", "swift"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Where a server listens, with either reader."""
    if request.param == "swift":
        pytest.importorskip("httptools")
    chosen = Thorough if request.param == "thorough" else reader()
    assert (chosen is Thorough) == (request.param == "thorough")
    with mock.patch.object(listen, "reader", return_value=chosen), live(create_app([Reversing()], Settings())) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def told(
    place: tuple[str, int], *parts: bytes, first: bytes = b""
) -> list[tuple[int, dict[str, str], dict[str, object]]]:
    """Status, headers and JSON of each answer until the server closes the connection; parts are sent one by one, after
    the answer to `first`."""
    with socket.create_connection(place, timeout=20) as connection, connection.makefile("rb") as stream:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if first:
            connection.sendall(first)
            assert _answer(stream) is not None
        for part in parts:
            connection.sendall(part)
        return list(iter(lambda: _answer(stream), None))


def _answer(stream) -> tuple[int, dict[str, str], dict[str, object]] | None:
    if not (line := stream.readline()):
        return None
    headers: dict[str, str] = {}
    while field := stream.readline().decode().strip():
        name, _, value = field.partition(": ")
        headers[name.lower()] = value
    return int(line.split()[1]), headers, json.loads(stream.read(int(headers["content-length"])))


def test_several_requests_on_one_connection(place) -> None:
    again = ASK + b"\r\n" + BODY
    found = told(place, again, again + again, ASK + LAST + BODY)
    assert [(status, body) for status, _, body in found] == [(200, {"translatedText": "b a"})] * 4


def test_byte_by_byte(place) -> None:
    whole = ASK + LAST + BODY
    found = told(place, *(whole[k : k + 1] for k in range(len(whole))))
    assert [body for _, _, body in found] == [{"translatedText": "b a"}]


def test_in_chunks(place) -> None:
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, BODY[:9], len(BODY) - 9, BODY[9:])
    found = told(place, HEAD + b"Transfer-Encoding: chunked\r\n" + LAST, chunks)
    assert [body for _, _, body in found] == [{"translatedText": "b a"}]


def test_another_protocol_is_not_taken_up(place) -> None:
    """Java's client offers HTTP/2 with each first request."""
    found = told(place, ASK + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + BODY, ASK + LAST + BODY)
    assert [body for _, _, body in found] == [{"translatedText": "b a"}] * 2


def test_lines_that_end_in_line_feeds(place) -> None:
    found = told(place, (ASK + LAST).replace(b"\r\n", b"\n") + BODY)
    assert [body for _, _, body in found] == [{"translatedText": "b a"}]


@pytest.mark.parametrize("method", ["BREW", "TRACE", "POSTER", "LINK", "M-SEARCH"])
def test_any_method_in_the_dialect(place, method: str) -> None:
    odd = method.encode() + b" /translate HTTP/1.1\r\nHost: x\r\n"
    for before in (b"", ASK + b"\r\n" + BODY):
        ((status, headers, body),) = told(place, odd + LAST, first=before)
        assert (status, body) == (405, {"error": f"{method} is not allowed for /translate; use POST"})
        assert headers["allow"] == "POST"


def test_an_odd_request_does_not_overtake_the_one_before(place) -> None:
    first, second = told(place, ASK + b"\r\n" + BODY + b"BREW /translate HTTP/1.1\r\nHost: x\r\n" + LAST)
    assert (first[0], first[2]) == (200, {"translatedText": "b a"})
    assert second[0] in (400, 405)
    assert list(second[2]) == ["error"]


def test_usual_requests_behind_an_odd_one(place) -> None:
    found = told(place, b"BREW /translate HTTP/1.1\r\nHost: x\r\n\r\n", ASK + LAST + BODY)
    assert [status for status, _, _ in found] == [405, 200]


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET /health HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 15_000,
        b"GET /" + b"x" * 70_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000,
    ],
)
def test_what_is_no_request_is_refused_as_json(place, request_: bytes) -> None:
    with socket.create_connection(place, timeout=20) as connection:
        connection.sendall(request_)
        with connection.makefile("rb") as stream:
            found = _answer(stream)
    assert found is not None
    status, headers, body = found
    assert (status, headers["content-type"], list(body)) == (400, "application/json", ["error"])


def test_without_the_faster_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("httptools", "uvloop", "s2s.serve.swift"):
        monkeypatch.setitem(sys.modules, module, None)
    assert reader() is Thorough
    assert new_loop() is None


def test_with_the_faster_loop() -> None:
    uvloop = pytest.importorskip("uvloop")
    importlib.reload(uvloop)
    with asyncio.Runner(loop_factory=new_loop()) as runner:
        assert isinstance(runner.get_loop(), uvloop.Loop)


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_what_is_written_in_one_turn_goes_together() -> None:
    async def scene() -> None:
        wire = Wire()
        transport = Joining(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"head")
        transport.write(b"body")
        assert wire.sent == []
        await asyncio.sleep(0)
        assert wire.sent == [b"headbody"]
        transport.write(b"x" * ENOUGH)
        assert wire.sent[1:] == [b"x" * ENOUGH]  # at once
        transport.write(b"last")
        transport.close()
        assert (wire.sent[2:], transport.is_closing()) == ([b"last"], True)
        transport.write(b"too late")
        await asyncio.sleep(0)
        assert len(wire.sent) == 3

    asyncio.run(scene())
