"""Errors of the LibreTranslate dialect: the right status, the known text, always {"error": "..."}, and CORS."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serve_stub import Reversing

from s2s.errors import UserError
from s2s.serve.app import Settings, create_app

GOOD = {"q": "a b", "source": "en", "target": "de"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def refused(reply: Any, status: int) -> str:
    """The sentence of an error that has the dialect's shape."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert list(reply.json()) == ["error"]
    error: str = reply.json()["error"]
    return error


@pytest.mark.parametrize("empty", ["absent", "", [], None])
@pytest.mark.parametrize("field", ["q", "source", "target"])
def test_missing(client: TestClient, field: str, empty: Any) -> None:
    body: dict[str, Any] = GOOD | {field: empty}
    if empty == "absent":
        del body[field]
    assert refused(client.post("/translate", json=body), 400) == f"Invalid request: missing {field} parameter"


def test_nothing_at_all(client: TestClient) -> None:
    ways: list[dict[str, Any]] = [{}, {"data": {"q": ""}}, {"json": {}}, {"headers": FORM}]
    for arguments in ways:
        reply = client.post("/translate", **arguments)
        assert refused(reply, 400) == "Invalid request: missing q parameter"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("q", 3), ("q", {"a": 1}), ("q", [1]), ("q", ["a", None]), ("q", [["a"]]), ("q", True),
        ("source", 1), ("source", ["en"]), ("target", {}), ("target", False), ("format", 1), ("format", ["text"]),
        ("alternatives", "two"), ("alternatives", -1), ("alternatives", 1.5), ("alternatives", True),
        ("alternatives", [1]), ("alternatives", 10**40),
    ],
)  # fmt: skip
def test_wrong_type(client: TestClient, field: str, value: Any) -> None:
    error = refused(client.post("/translate", json=GOOD | {field: value}), 400)
    assert error.startswith(f"Invalid request: {field} must be ")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"source": "zz"}, "zz is not supported"),
        ({"target": "zz"}, "zz is not supported"),
        ({"target": "auto"}, "auto is not supported"),
        ({"source": "auto", "target": "auto"}, "auto is not supported"),
        ({"source": "x" * 99}, "x" * 35 + " is not supported"),
        ({"source": "de", "target": "en"}, "de is not supported as a source; available: en -> de"),
        ({"source": "auto", "target": "en"}, "en is not supported as a target; available: en -> de"),
        ({"format": "md"}, "md format is not supported"),
        ({"alternatives": 11}, "Invalid request: alternatives (11) exceeds limit (10)"),
    ],
)
def test_not_supported(client: TestClient, fields: dict[str, Any], error: str) -> None:
    assert refused(client.post("/translate", json=GOOD | fields), 400) == error


def test_directions_between_several_runs() -> None:
    client = TestClient(create_app([Reversing("en", "de"), Reversing("fr", "de"), Reversing("de", "en")]))
    reply = client.post("/translate", json=GOOD | {"target": "fr"})
    assert refused(reply, 400) == ("fr is not supported as a target of en; available: en -> de, fr -> de, de -> en")


def test_languages_that_nobody_can_detect() -> None:
    client = TestClient(create_app([Reversing("src", "de"), Reversing("fr", "de")]))
    reply = client.post("/translate", json=GOOD | {"source": "auto"})
    assert refused(reply, 400) == "auto is not supported: the source may be src or fr; name it in the request"


def test_limits() -> None:
    client = TestClient(create_app([Reversing()], Settings(char_limit=5, batch_limit=2)))
    assert client.post("/translate", json=GOOD | {"q": "12345"}).status_code == 200
    assert client.post("/translate", json=GOOD | {"q": ["123", "45"]}).status_code == 200
    over = "Invalid request: request ({}) exceeds text limit ({})"
    assert refused(client.post("/translate", json=GOOD | {"q": "1234567"}), 400) == over.format(7, 5)
    assert refused(client.post("/translate", data=GOOD | {"q": "ääääää"}), 400) == over.format(6, 5)
    assert refused(client.post("/translate", json=GOOD | {"q": ["1234", "56"]}), 400) == over.format(6, 5)
    assert refused(client.post("/translate", json=GOOD | {"q": ["", "", ""]}), 400) == over.format(3, 2)


@pytest.mark.parametrize(
    "body", [b"{", b"", b'{"q": "\\ud800"}', b'{"q": "\xff"}', b"[" * 50_000, b'{"q": 1' + b"0" * 9999]
)
def test_malformed_json(client: TestClient, body: bytes) -> None:
    reply = client.post("/translate", content=body, headers=JSON)
    assert refused(reply, 400).startswith("Invalid request: the body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"[]", b'"q"', b"null", b"3"])
def test_json_that_is_no_object(client: TestClient, body: bytes) -> None:
    assert refused(client.post("/translate", content=body, headers=JSON), 400).endswith("must be a JSON object")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/octet-stream", None])
def test_content_type(client: TestClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    reply = client.post("/translate", content=b"q=a&source=en&target=de", headers=headers)
    assert refused(reply, 415).startswith("Unsupported content type: ")


def test_json_with_a_charset_or_a_suffix(client: TestClient) -> None:
    for content_type in ("Application/JSON; charset=utf-8", "application/problem+json"):
        reply = client.post("/translate", content=json.dumps(GOOD), headers={"content-type": content_type})
        assert reply.json() == {"translatedText": "b a"}


@pytest.mark.parametrize("body", [b"q=%ff&source=en&target=de", b"q=\xff", b"&".join(b"a%d=" % n for n in range(200))])
def test_malformed_form(client: TestClient, body: bytes) -> None:
    assert "form cannot be read" in refused(client.post("/translate", content=body, headers=FORM), 400)


def test_repeated_field_of_a_form(client: TestClient) -> None:
    reply = client.post("/translate", content=b"q=a&q=b&source=en&target=de", headers=FORM)
    assert refused(reply, 400) == "Invalid request: q is given more than once; send a list as JSON"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\na', "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\na\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=nonsense",
        ),
    ],
)
def test_malformed_multipart(client: TestClient, body: bytes, content_type: str) -> None:
    refused(client.post("/translate", content=body, headers={"content-type": content_type}), 400)


def test_a_file_is_no_text(client: TestClient) -> None:
    refused(client.post("/translate", data={"source": "en"}, files={"q": ("a.txt", b"a")}), 400)


@pytest.mark.parametrize("size", [101, 300, 401, 10_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_too_large(size: int, chunked: bool) -> None:
    client = TestClient(create_app([Reversing()], Settings(max_body=100)))
    body = b"x" * size
    reply = client.post("/translate", content=iter([body[:50], body[50:]]) if chunked else body, headers=FORM)
    assert refused(reply, 413) == "Invalid request: the body is larger than 100 bytes"


def test_unknown_path_and_method(client: TestClient) -> None:
    assert refused(client.get("/nowhere"), 404) == "Not found: /nowhere"
    assert refused(client.post("/translate/", json=GOOD), 404) == "Not found: /translate/"
    reply = client.get("/translate")
    assert refused(reply, 405) == "GET is not allowed for /translate; use POST"
    assert reply.headers["allow"] == "POST"
    assert "use GET" in refused(client.post("/languages"), 405)
    assert refused(client.get("/nowhere", headers={"host": "evil/x"}), 404) == "Not found: /nowhere"


def test_a_fault_is_logged_and_not_told(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "s2s.serve"):
        error = refused(client.post("/translate", json=GOOD | {"q": "crash"}), 500)
    assert error == "Internal server error; the server's log says more"
    assert "ValueError: secret detail" in caplog.text
    assert client.post("/translate", json=GOOD).status_code == 200


def test_a_model_that_loses_a_line_is_a_fault_and_never_a_shifted_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Losing(Reversing):
        def translate(self, texts: Any, **options: Any) -> Any:
            return super().translate(texts, **options)[1:]

    client = TestClient(create_app([Losing()]))
    refused(client.post("/translate", json=GOOD | {"q": ["a", "b"]}), 500)
    assert "2 lines in, 1 answers out" in caplog.text


def test_cors(client: TestClient) -> None:
    preflight = client.options("/translate", headers={"origin": "http://x", "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "Content-Type" in preflight.headers["access-control-allow-headers"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert client.get("/health").headers["access-control-allow-origin"] == "*"
    assert refused(client.options("/translate"), 405)
    one = TestClient(create_app([Reversing()], Settings(allow_origin="https://a.example"))).get("/health")
    assert (one.headers["access-control-allow-origin"], one.headers["vary"]) == ("https://a.example", "Origin")
    none = TestClient(create_app([Reversing()], Settings(allow_origin=""))).get("/health")
    assert not [name for name in none.headers if name.startswith("access-control")]


def test_runs_that_cannot_be_served_together() -> None:
    with pytest.raises(UserError, match="no run to serve"):
        create_app([])
    with pytest.raises(UserError, match="'one' and 'two' both translate en to de"):
        create_app([Reversing(name="one"), Reversing(name="two")])
    with pytest.raises(UserError, match="calls a language 'auto'"):
        create_app([Reversing("auto", "de")])


@pytest.mark.parametrize(
    ("key", "value"),
    [("char_limit", 0), ("batch_limit", -2), ("max_body", 0), ("alternatives_limit", -1), ("workers", 0)],
)
def test_impossible_settings(key: str, value: int) -> None:
    with pytest.raises(ValueError, match=key):
        Settings(**{key: value})
    with pytest.raises(ValueError, match="allow_origin"):
        Settings(allow_origin="a\nb")


words = st.text(max_size=8) | st.sampled_from(["en", "de", "auto", "text", "html", "a\nb", "", "3"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "q": words | st.lists(words, max_size=3) | values,
        "source": st.sampled_from(["en", "auto", "de"]) | values,
        "target": st.just("de") | values,
        "format": st.just("text") | values,
        "alternatives": st.integers(-2, 12) | values,
    },
)


@settings(max_examples=300, deadline=None)
@given(fields | values)
@example(GOOD)
@example(GOOD | {"alternatives": 10**4200})
def test_any_json_is_answered_or_refused(client: TestClient, body: Any) -> None:
    reply = client.post("/translate", content=json.dumps(body), headers=JSON)
    assert reply.status_code in (200, 400), reply.text
    key = "translatedText" if reply.status_code == 200 else "error"
    assert key in reply.json()
    if reply.status_code == 200 and isinstance(body["q"], list):
        assert len(reply.json()["translatedText"]) == len(body["q"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([JSON, FORM, {"content-type": "multipart/form-data; boundary=x"}]))
def test_any_bytes_are_answered_or_refused(client: TestClient, body: bytes, headers: dict[str, str]) -> None:
    refused(client.post("/translate", content=body, headers=headers), 400)
