"""A server answers once by itself before it says that it is ready."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Sequence
from typing import Any
from unittest import mock

import httpx2
import pytest
from serve_stub import Echoing, Hypothesis, Reversing

from s2s.serve.app import Settings, application
from s2s.serve.listen import Operator
from s2s.serve.service import GREETING, Service


class Held(Reversing):
    """Waits to be let on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def translate(self, texts: Sequence[str], **options: Any) -> list[list[Hypothesis]]:
        assert self.go_on.wait(20)
        return super().translate(texts, **options)


def test_ready_comes_after_the_first_answers_and_health_before() -> None:
    first, second, talks = Held(), Reversing("de", "en"), Echoing()

    async def scene() -> list[int]:
        service = Service([first, second, talks], Settings())
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(application(service)), base_url="http://x")
        Operator(mock.Mock(), service, None).start()
        before = [(await client.get(path)).status_code for path in ("/ready", "/health")]
        assert (await client.get("/ready")).json() == {"status": "starting"}
        first.go_on.set()
        async with asyncio.timeout(20):
            while (await client.get("/ready")).status_code != 200:
                await asyncio.sleep(0.005)
        await client.aclose()
        return before

    assert asyncio.run(scene()) == [503, 200]
    assert first.lines == second.lines == [GREETING]
    assert all(name.startswith("translate") for name in first.threads | second.threads)
    assert len(talks.asked) == 1


def test_a_run_that_cannot_greet_is_in_the_log_and_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Reversing):
        def translate(self, texts: Sequence[str], **options: Any) -> list[list[Hypothesis]]:
            raise ValueError(f"nothing for {texts}, {options}")

    other = Reversing("de", "en", "other")
    asyncio.run(Service([Broken(), other], Settings()).warm([Broken(), other]))
    assert other.lines == [GREETING]
    assert [record.getMessage() for record in caplog.records] == ["the run reversing could not answer its first text"]


def test_runs_that_are_loaded_anew_answer_once_before_they_are_served() -> None:
    fresh = Reversing()

    async def scene() -> None:
        service = Service([Reversing()], Settings())
        operator = Operator(mock.Mock(), service, lambda: [fresh])
        operator.reload()
        async with asyncio.timeout(20):
            while service.runs[0] is not fresh:
                await asyncio.sleep(0.005)
        assert fresh.lines == [GREETING]

    asyncio.run(scene())


@pytest.mark.parametrize(("sources", "loaded"), [(("en",), False), (("en", "de"), True)])
def test_languages_can_be_told_apart_at_once_where_there_are_several(sources: tuple[str, ...], loaded: bool) -> None:
    runs = [Reversing(source, "fr", source) for source in sources]
    service = Service(runs, Settings())
    asyncio.run(service.warm(runs))
    assert (service.detector._identifier is not None) is loaded


def test_the_garbage_collector_leaves_alone_what_stays() -> None:
    """A full collection looks through every object of models and libraries: a tenth of a second without an answer."""

    async def scene() -> None:
        service = Service([Reversing()], Settings())
        Operator(mock.Mock(), service, None).start()
        async with asyncio.timeout(20):
            while service.warming:
                await asyncio.sleep(0.005)

    gc.unfreeze()
    try:
        asyncio.run(scene())
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
