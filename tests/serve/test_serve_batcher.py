"""The batcher: every answer to its own request, whatever arrives, leaves or fails; who waits, and for how long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.serve.batcher import Batcher, Bounds
from s2s.serve.refusal import Refusal

BOUNDS = Bounds(items=4, room=40, queue=100, gather=0.0, workers=1)


class Unwatched:
    def batched(self, items: int, size: int) -> None:
        assert items > 0 <= size


@dataclass
class Doubling:
    """Work that doubles texts; waits for `gate` first, and raises at "bad"."""

    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[list[str]] = field(default_factory=list)

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.calls.append(list(items))
        assert self.gate.wait(20)
        if "bad" in items:
            raise ValueError("bad")
        return [item * 2 for item in items]


def opened() -> Doubling:
    work = Doubling()
    work.gate.set()
    return work


def make(bounds: Bounds = BOUNDS) -> Batcher:
    return Batcher(bounds, Unwatched())


async def ask(batcher: Batcher, work: Any, texts: Sequence[str], key: object = "all") -> list[str]:
    return await batcher.ask(key, work, texts, list(map(len, texts)))


async def begun(work: Doubling) -> None:
    """Come back when the worker is at it."""
    while not work.calls:
        await asyncio.sleep(0.001)


texts = st.lists(st.text("ab", max_size=30), max_size=12)


@given(st.lists(st.tuples(texts, st.sampled_from("xy")), max_size=12), st.integers(1, 3))
def test_everyone_gets_the_own_answers_in_order(requests: list[tuple[list[str], str]], workers: int) -> None:
    work = opened()

    async def scene() -> list[list[str]]:
        batcher = make(replace(BOUNDS, workers=workers, queue=10_000))
        answers = await asyncio.gather(*(ask(batcher, work, own, key) for own, key in requests))
        assert batcher.waiting == 0
        return answers

    assert asyncio.run(scene()) == [[text * 2 for text in own] for own, _ in requests]
    for call in work.calls:
        assert len(call) <= BOUNDS.items
        assert len(call) == 1 or len(call) * max(map(len, call)) <= BOUNDS.room
    assert sum(map(len, work.calls)) == sum(len(own) for own, _ in requests)


def test_at_rest_nobody_waits_and_what_gathers_goes_together() -> None:
    work = Doubling()

    async def scene() -> None:
        batcher = make(replace(BOUNDS, gather=10.0))
        first = asyncio.create_task(ask(batcher, work, ["a"]))
        await begun(work)  # at once, by itself
        rest = [asyncio.create_task(ask(batcher, work, [text])) for text in "bcd"]
        await asyncio.sleep(0)
        assert batcher.waiting == 3
        work.gate.set()
        assert await first == ["aa"]
        assert await asyncio.gather(*rest) == [["bb"], ["cc"], ["dd"]]

    asyncio.run(scene())
    assert work.calls == [["a"], ["b", "c", "d"]]


def test_a_busy_server_lets_clients_come_back() -> None:
    work = opened()

    async def scene() -> None:
        batcher = make(replace(BOUNDS, gather=0.2))
        await asyncio.gather(*(ask(batcher, work, [text]) for text in "abc"))  # a, then b and c
        later = [asyncio.create_task(ask(batcher, work, [text])) for text in "de"]
        await asyncio.gather(*later)

    asyncio.run(scene())
    assert work.calls == [["a"], ["b", "c"], ["d", "e"]]


def test_nobody_is_waited_for_when_all_are_back() -> None:
    work = opened()

    async def scene() -> None:
        batcher = make(replace(BOUNDS, gather=1.0))
        await asyncio.gather(*(ask(batcher, work, [text]) for text in "abc"))
        async with asyncio.timeout(0.9):
            await asyncio.gather(*(ask(batcher, work, [text]) for text in "de"))

    asyncio.run(scene())
    assert work.calls == [["a"], ["b", "c"], ["d", "e"]]


def test_an_event_loop_that_is_busy_is_no_pause() -> None:
    work = opened()

    async def client(batcher: Batcher, first: str, second: str) -> None:
        await ask(batcher, work, [first])
        time.sleep(0.05)  # writes its answer, while others can't even be read
        await asyncio.sleep(0.003)
        await ask(batcher, work, [second])

    async def scene() -> None:
        batcher = make(replace(BOUNDS, gather=0.02))
        first = asyncio.create_task(ask(batcher, work, ["a"]))
        await asyncio.gather(*(client(batcher, *pair) for pair in ("bd", "ce")), first)

    asyncio.run(scene())
    assert work.calls == [["a"], ["b", "c"], ["d", "e"]]


def test_who_wants_no_waiting_gets_none() -> None:
    work = opened()

    async def client(batcher: Batcher, first: str, second: str, seconds: float) -> None:
        await ask(batcher, work, [first])
        await asyncio.sleep(seconds)
        await ask(batcher, work, [second])

    async def scene() -> None:
        batcher = make()
        first = asyncio.create_task(ask(batcher, work, ["a"]))
        await asyncio.gather(client(batcher, "b", "d", 0), client(batcher, "c", "e", 0.05), first)

    asyncio.run(scene())
    assert work.calls == [["a"], ["b", "c"], ["d"], ["e"]]


def test_a_large_request_does_not_keep_small_ones_waiting() -> None:
    work = Doubling()

    async def scene() -> list[int]:
        batcher = make()
        large = asyncio.create_task(ask(batcher, work, ["l"] * 50))
        await begun(work)
        small = [asyncio.create_task(ask(batcher, work, ["s"])) for _ in range(3)]
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(*small)
        served = len(work.calls)
        await large
        return [served, len(work.calls)]

    served, all_of_it = asyncio.run(scene())
    assert served <= 3
    assert all_of_it > 12


def test_equal_lengths_go_together_and_long_ones_come_through() -> None:
    work = Doubling()
    sizes = [30, 2, 31, 3, 2, 29]

    async def scene() -> None:
        batcher = make(replace(BOUNDS, room=40))
        first = asyncio.create_task(ask(batcher, work, ["a"]))
        await begun(work)
        rest = [asyncio.create_task(ask(batcher, work, ["b" * size])) for size in sizes]
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(first, *rest)

    asyncio.run(scene())
    assert [list(map(len, call)) for call in work.calls] == [[1], [30], [2, 2, 3], [31], [29]]


def test_one_bad_request_spoils_no_other() -> None:
    work = Doubling()

    async def scene() -> list[Any]:
        batcher = make(replace(BOUNDS, items=10))
        first = asyncio.create_task(ask(batcher, work, ["a"]))
        await begun(work)
        rest = [asyncio.create_task(ask(batcher, work, own)) for own in (["b"], ["c", "bad"], ["d", "e"])]
        await asyncio.sleep(0)
        work.gate.set()
        found = await asyncio.gather(first, *rest, return_exceptions=True)
        await batcher.rest()
        assert batcher.waiting == 0
        assert await ask(batcher, work, ["f"]) == ["ff"]  # the worker is still there
        return found

    found = asyncio.run(scene())
    assert [*found[:2], found[3]] == [["aa"], ["bb"], ["dd", "ee"]]
    assert isinstance(found[2], ValueError)


def test_who_leaves_is_taken_from_the_queue() -> None:
    work = Doubling()

    async def scene() -> None:
        batcher = make()
        tasks = [asyncio.create_task(ask(batcher, work, [text])) for text in "abc"]
        await begun(work)
        tasks[0].cancel()  # under way: nobody waits for its answer any more
        tasks[1].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        work.gate.set()
        assert await tasks[2] == ["cc"]
        await batcher.rest()
        assert batcher.waiting == 0

    asyncio.run(scene())
    assert work.calls == [["a"], ["c"]]


def test_a_full_queue_refuses() -> None:
    work = Doubling()

    async def scene() -> None:
        batcher = make(replace(BOUNDS, queue=3))
        taken = [asyncio.create_task(ask(batcher, work, own)) for own in (["a"], ["b"], ["c", "d"])]
        await begun(work)
        with pytest.raises(Refusal) as caught:
            await ask(batcher, work, ["e"])
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        work.gate.set()
        assert await asyncio.gather(*taken) == [["aa"], ["bb"], ["cc", "dd"]]
        assert await ask(batcher, work, ["e"]) == ["ee"]

    asyncio.run(scene())


def test_lanes_take_turns() -> None:
    one, other = Doubling(), opened()
    other.calls = one.calls

    async def scene() -> None:
        batcher = make()
        first = asyncio.create_task(ask(batcher, one, ["a"] * 20, "one"))
        await begun(one)
        second = asyncio.create_task(ask(batcher, other, ["b"], "other"))
        await asyncio.sleep(0)
        one.gate.set()
        await asyncio.gather(first, second)

    asyncio.run(scene())
    assert ["b"] in one.calls[:3]
    assert len(one.calls) == 6


def test_work_that_loses_an_item_is_a_fault() -> None:
    with pytest.raises(RuntimeError, match="2 lines in, 1 answers out"):
        asyncio.run(ask(make(), lambda items: items[1:], ["a", "b"]))


def test_several_workers_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    async def scene() -> None:
        batcher = make(replace(BOUNDS, workers=2))

        def meet(items: Sequence[str]) -> Sequence[str]:
            both.wait()
            return items

        await asyncio.gather(ask(batcher, meet, ["a"], 1), ask(batcher, meet, ["b"], 2))

    with ThreadPoolExecutor(1):
        asyncio.run(scene())


def test_several_workers_take_equal_shares() -> None:
    work = Doubling()

    async def scene() -> None:
        batcher = make(replace(BOUNDS, items=10, workers=2))
        first = [asyncio.create_task(ask(batcher, work, [text])) for text in "ab"]
        while len(work.calls) < 2:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(ask(batcher, work, [text])) for text in "cdefgh"]
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(*first, *rest)

    asyncio.run(scene())
    assert sorted(map(len, work.calls)) == [1, 1, 2, 4]  # four: half of six and of the one at work


def test_several_workers_wait_for_clients_one_after_the_other() -> None:
    """Else both begin as soon as one share is back, one of them with what is left."""
    work = opened()

    async def client(batcher: Batcher, text: str) -> None:
        for _ in range(6):
            await ask(batcher, work, [text])

    async def scene() -> None:
        batcher = make(replace(BOUNDS, gather=0.3, workers=2))
        await asyncio.gather(*(client(batcher, text) for text in "abcdefgh"))

    asyncio.run(scene())
    assert [len(call) for call in work.calls[4:-4]] == [4] * len(work.calls[4:-4])
    assert len(work.calls) > 8
