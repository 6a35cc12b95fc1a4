"""What operators see: figures, readiness, log, headers; clients that leave, drains, and runs that are loaded anew."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
from fastapi.testclient import TestClient
from libretranslatepy import LibreTranslateAPI
from serve_stub import Hypothesis, Reversing
from serve_tools import live, program

from s2s.errors import UserError
from s2s.serve.app import Settings, application, create_app
from s2s.serve.listen import Operator, Server
from s2s.serve.log import JsonLines, logging_to_stderr
from s2s.serve.service import Service

GOOD = {"q": "a b", "source": "en", "target": "de"}


def figures(client: TestClient) -> dict[str, float]:
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain")
    lines = [line.rsplit(" ", 1) for line in reply.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_figures() -> None:
    client = TestClient(create_app([Reversing()]))
    client.post("/translate", json=GOOD | {"q": ["a b", "c\nd", ""]})
    client.post("/translate", json=GOOD | {"target": "zz"})
    client.get("/nowhere/a"), client.get("/nowhere/b")
    found = figures(client)
    assert found['s2s_requests_total{route="/translate",status="200"}'] == 1
    assert found['s2s_requests_total{route="/translate",status="400"}'] == 1
    assert found['s2s_requests_total{route="other",status="404"}'] == 2
    assert found['s2s_request_seconds_count{route="/translate"}'] == 2
    assert (found["s2s_lines_total"], found["s2s_characters_total"], found["s2s_batch_lines_count"]) == (3, 5, 1)
    assert (found["s2s_queue_lines"], found["s2s_requests_in_progress"]) == (0, 1)
    if sys.platform == "linux":
        assert found["process_resident_memory_bytes"] > 1e6


def test_headers() -> None:
    client = TestClient(create_app([Reversing()]))
    for reply in (client.post("/translate", json=GOOD), client.get("/nowhere"), client.post("/translate")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["content-security-policy"].startswith("default-src 'none';")
        assert "server" not in reply.headers
    docs = client.get("/docs")
    assert docs.status_code == 200
    assert "script-src" in docs.headers["content-security-policy"]


def test_a_server_that_drains_takes_nothing_in() -> None:
    service = Service([Reversing()], Settings())
    client = TestClient(application(service))
    assert (client.get("/ready").status_code, client.get("/health").status_code) == (200, 200)
    asyncio.run(service.drain())
    ready, refused = client.get("/ready"), client.post("/translate", json=GOOD)
    assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
    assert (refused.status_code, refused.json()) == (503, {"error": "The server is stopping"})
    assert int(refused.headers["retry-after"]) > 0
    assert client.get("/health").status_code == 200


class Slow(Reversing):
    """Waits to be let on."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work, self.go_on = threading.Event(), threading.Event()

    def translate(self, texts: Sequence[str], **options: Any) -> list[list[Hypothesis]]:
        self.at_work.set()
        assert self.go_on.wait(20)
        return super().translate(texts, **options)


def test_too_long_and_too_many() -> None:
    run = Slow()
    client = TestClient(create_app([run], Settings(timeout=0.3, queue_limit=1)))
    with client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/translate", json=GOOD)
        assert run.at_work.wait(20)
        second = pool.submit(client.post, "/translate", json=GOOD)
        until(lambda: figures(client)["s2s_queue_lines"] == 1)
        third = client.post("/translate", json=GOOD)
        assert (third.status_code, third.json()) == (503, {"error": "The server is busy; try again in a moment"})
        for reply in (first.result(20), second.result(20), third):
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) > 0
        assert "no answer within 0.3 seconds" in first.result().json()["error"]
        run.go_on.set()
        until(lambda: client.post("/translate", json=GOOD).status_code == 200)


@pytest.fixture
def live_slow() -> Iterator[tuple[str, Slow, Service]]:
    """A real server over a run that waits."""
    run = Slow()
    service = Service([run], Settings())
    with live(application(service)) as url:
        yield url, run, service
        run.go_on.set()


def until(true: Callable[[], bool]) -> None:
    """Wait for something that comes true in a moment."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_requests_are_not_mixed_where_answers_are_drawn() -> None:
    """What is drawn for a line depends on its place in the call, which others must not change."""

    class Numbering(Slow):
        def translate(self, texts: Sequence[str], **options: Any) -> list[list[Hypothesis]]:
            super().translate(texts, **options)
            return [[Hypothesis(f"{text} {place}")] for place, text in enumerate(texts)]

    run = Numbering()
    run.draws = True
    client = TestClient(create_app([run]))
    with client, ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(client.post, "/translate", json=GOOD | {"q": ["bbb", "a"]}) for _ in range(3)]
        assert run.at_work.wait(20)
        run.go_on.set()
        assert [reply.result(20).json()["translatedText"] for reply in replies] == [["bbb 0", "a 1"]] * 3


def test_a_client_that_goes_away_leaves_the_queue(live_slow: tuple[str, Slow, Service]) -> None:
    url, run, service = live_slow
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(GOOD).encode()
    head = (
        f"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(LibreTranslateAPI(url).translate, "a b", "en", "de")
        assert run.at_work.wait(20)
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(head.encode() + body)
            until(lambda: service._batcher.waiting == 1)
        until(lambda: service._batcher.waiting == 0)
        run.go_on.set()
        assert first.result(20) == "b a"
    assert run.lines == ["a b"]
    assert b's2s_requests_total{route="/translate",status="499"} 1.0' in service.metrics.page()


def records(settings: Settings, **fields: Any) -> list[dict[str, Any]]:
    said = io.StringIO()
    with (
        mock.patch.object(sys, "stderr", said),
        mock.patch.object(logging.getLogger(), "handlers", []),
        logging_to_stderr(settings),
    ):
        client = TestClient(create_app([Reversing()], settings))
        client.post("/translate", json=GOOD | fields)
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_the_log() -> None:
    (line,) = records(Settings(log="requests"))
    assert (line["level"], line["event"], line["method"], line["route"]) == ("info", "request", "POST", "/translate")
    assert (line["status"], line["caller"], line["texts"], line["characters"]) == (200, "testclient", 1, 3)
    assert "a b" not in json.dumps(line)
    (line,) = records(Settings(log="texts"), q="ä\nb")
    assert line["text"] == ["ä\nb"]
    assert records(Settings()) == []
    (line,) = records(Settings(), q="crash")
    assert (line["level"], line["event"]) == ("error", "POST /translate failed")
    assert "ValueError: secret detail" in line["traceback"]


def test_a_line_of_the_log_is_one_line_whatever_it_says() -> None:
    record = logging.LogRecord("s2s.serve", logging.INFO, "", 0, "a\nb \udcff \x1b[31m", (), None)
    text = JsonLines().format(record)
    assert len(text.splitlines()) == 1
    text.encode()
    assert json.loads(text)["event"].startswith("a\nb ")


def test_runs_are_loaded_anew() -> None:
    async def scene() -> None:
        service = Service([Reversing("en", "de")], Settings())
        new: list[Any] = [Reversing("en", "de", "second"), Reversing("en", "fr")]

        def again() -> Sequence[Any]:
            if not new:
                raise UserError("damaged")
            return new

        operator = Operator(Server(application(service), lambda: None), service, again)
        await operator._reload()
        assert service.directions.sources() == {"en": ["de", "fr"]}
        new.clear()
        await operator._reload()
        assert service.directions.sources() == {"en": ["de", "fr"]}
        new += [Reversing(name="one"), Reversing(name="two")]  # of one direction
        await operator._reload()
        assert service.directions.sources() == {"en": ["de", "fr"]}
        page = service.metrics.page()
        assert b's2s_reloads_total{result="done"} 1.0' in page
        assert b's2s_reloads_total{result="failed"} 2.0' in page

    asyncio.run(scene())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_signals_under_load() -> None:
    """SIGHUP fails no request; SIGTERM finishes what was taken in and refuses the rest."""
    with program("127.0.0.1", "0") as process, ThreadPoolExecutor(8) as clients:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found: list[list[str]] = [[] for _ in range(6)]

        def ask(client: int) -> None:
            api, answers = LibreTranslateAPI(url), found[client]
            while True:
                try:
                    answers.append(api.translate(f"{client} {len(answers)}", "en", "de"))
                except urllib.error.HTTPError as error:
                    error.close()
                    answers.append(str(error.code))
                    return
                except (ConnectionError, urllib.error.URLError):
                    answers.append("closed")
                    return

        loads = [clients.submit(ask, client) for client in range(6)]
        for round in range(1, 4):
            until(lambda: min(map(len, found)) >= 3 * round)  # noqa: B023  (called here)
            process.send_signal(signal.SIGHUP)
        until(lambda: min(map(len, found)) >= 12)
        slow = clients.submit(LibreTranslateAPI(url).translate, "slow", "en", "de")
        while process.stdout.readline() != "at work\n":
            pass
        process.send_signal(signal.SIGTERM)
        until(lambda: _status(f"{url}/ready") == 503)
        with pytest.raises(urllib.error.HTTPError) as refused:
            LibreTranslateAPI(url).translate("late", "en", "de")
        assert refused.value.code == 503
        refused.value.close()
        assert slow.result(20) == "slow"
        for load in loads:
            load.result(20)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.count("Loaded the runs anew") == 3
    for client, answers in enumerate(found):
        right = [f"{k} {client}" for k in range(len(answers))]
        assert len(answers) > 3
        assert answers[:-1] == right[:-1]
        assert answers[-1] in ("503", "closed")
