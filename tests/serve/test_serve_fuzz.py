"""The server against its own OpenAPI page and against bodies that nobody would send: no 5xx, no hang."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from serve_stub import Reversing

from s2s.serve.app import Settings, create_app

schema = schemathesis.openapi.from_asgi("/openapi.json", create_app([Reversing()], Settings(max_body=1_000_000)))
WORKING = sorted(path for path, methods in schema.raw_schema["paths"].items() if "post" in methods)
KINDS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html", "")
DEEP = 100_000
BODIES = {
    "nothing": b"",
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"q":' * DEEP,
    "deep and closed": b'{"q":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep where it is ignored": b'{"q":"a","source":"en","target":"de","x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "no UTF-8": b'{"q": "\xff\xfe\xc0\x80", "text": ["\xff"]}',
    "half a surrogate": b'{"q": "\\ud800", "source": "en", "target": "de", "text": ["\\ud800"], "target_lang": "DE"}',
    "zeros": b"\0" * 10_000,
    "huge number": b'{"q": ' + b"9" * 50_000 + b"}",
    "huge exponent": b'{"q": 1e999999, "temperature": 1e999999, "n": 1e999999}',
    "many keys": json.dumps({str(key): key for key in range(20_000)}).encode(),
    "one key many times": b'{"q":"a"' + b',"q":"a"' * 50_000 + b"}",
    "ten megabytes": b'{"q": "' + b"a" * 10_000_000 + b'"}',
    "many fields": b"&".join(b"q=%d" % field for field in range(50_000)),
    "many parts": b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\na\r\n' * 5_000 + b"--x--\r\n",
    "a part that never ends": b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n' + b"a" * 900_000,
}


@pytest.fixture(scope="module")
def fuzzed() -> TestClient:
    return TestClient(create_app([Reversing()], Settings(max_body=1_000_000)))


@schema.parametrize()
@settings(
    max_examples=8, phases=[Phase.explicit, Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
)
def test_what_its_own_description_allows_and_forbids(case: Any) -> None:
    reply = case.call()
    assert reply.status_code < 500, (case.as_curl_command(), reply.text)
    if reply.status_code >= 400:
        assert reply.headers["content-type"] == ["application/json"]  # schemathesis: a list


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", WORKING)
def test_any_body_is_refused_in_the_dialect_and_soon(fuzzed: TestClient, path: str, body: str) -> None:
    start = time.monotonic()
    for kind in KINDS:
        reply = fuzzed.post(path, content=BODIES[body], headers={"content-type": kind} if kind else {})
        assert reply.status_code < 500, (kind, reply.text)
        assert reply.headers["content-type"] == "application/json"
        assert "Traceback" not in reply.text
    assert time.monotonic() - start < 60  # a hang, not a slow machine
