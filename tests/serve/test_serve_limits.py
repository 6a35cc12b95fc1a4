"""Limits a minute: the bucket, and what a server says when it is empty."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st
from serve_stub import Reversing

from s2s.serve import limits
from s2s.serve.app import Settings, create_app
from s2s.serve.limits import Rate, network_of

GOOD = {"q": "a b", "source": "en", "target": "de"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@example(4, [(4.872613790416502, 37), (1.0, 16)])  # a rounding error short of what was promised
@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=40))
def test_no_stretch_of_time_gets_more_than_its_share(limit: int, asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    rate = Rate(limit, clock=clock)
    taken: list[tuple[float, int]] = []
    for pause, amount in asked:
        clock.now += pause
        amount = min(amount, limit)
        wait = rate.take("a", amount)
        if wait:
            clock.now += wait  # by then it is there, as was promised
            assert rate.take("a", amount) == 0
        taken.append((clock.now, amount))
    for start, (then, _) in enumerate(taken):
        for end in range(start, len(taken)):
            total = sum(amount for _, amount in taken[start : end + 1])
            assert total <= limit * (1 + (taken[end][0] - then) / 60) + 1e-6


def test_callers_do_not_share_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 3)
    rate = Rate(1, clock=Clock())
    assert [rate.take(name, 1) for name in "abcab"] == [0, 0, 0, 60, 60]
    assert [rate.take(name, 1) for name in "de"] == [0, 0]
    assert [rate.take(name, 1) for name in "bc"] == [60, 0]


def test_no_limit() -> None:
    assert [Rate(-1).take("a", 10**9) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_network_of(host: str, network: str) -> None:
    assert network_of(host) == network


def test_requests_a_minute() -> None:
    client = TestClient(create_app([Reversing()], Settings(requests_per_minute=2)))
    replies = [client.post("/translate", json=GOOD) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json() == {"error": "Slow down: a minute allows 2 requests"}
    assert 1 <= int(replies[2].headers["retry-after"]) <= 30
    assert client.get("/languages").status_code == client.get("/health").status_code == 200


def test_characters_a_minute() -> None:
    client = TestClient(create_app([Reversing()], Settings(characters_per_minute=10)))
    replies = [client.post("/translate", json=GOOD | {"q": q}) for q in ("12345678", ["12", "34"], "1", "x" * 11)]
    assert [reply.status_code for reply in replies] == [200, 429, 200, 413]
    assert replies[3].json() == {"error": "Invalid request: 11 characters, and a minute allows 10"}
