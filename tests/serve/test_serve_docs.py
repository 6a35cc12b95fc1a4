"""The OpenAPI page and the description behind it."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient
from serve_stub import Echoing, Reversing

from s2s.serve.app import create_app
from s2s.serve.dialect import Direct

DIALECTS = {
    "/translate", "/detect", "/languages", "/frontend/settings", "/translate_file", "/download_file/{name}", "/health",
    "/v2/translate", "/v2/languages", "/v2/usage", "/v1/chat/completions", "/v1/models", "/v1/models/{name}",
}  # fmt: skip


def test_the_page_loads_nothing_from_elsewhere() -> None:
    client = TestClient(create_app([Reversing()]))
    page = client.get("/docs")
    assert "http" not in re.sub(r"<!--.*?-->", "", page.text)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert client.get(path).status_code == 200, path
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_no_path_leads_out_of_the_page() -> None:
    client = TestClient(create_app([Reversing()]))
    for path in ("/docs/nothing.js", "/docs/../app.py", "/docs/..%2f__init__.py", "/docs/%2e%2e/core.py"):
        reply = client.get(path)
        assert (reply.status_code, list(reply.json())) == (404, ["error"]), path


def test_every_route_is_described_and_no_reference_leads_nowhere() -> None:
    described = TestClient(create_app([Reversing(), Echoing()])).get("/openapi.json").json()
    assert set(described["paths"]) >= DIALECTS
    schemas = described["components"]["schemas"]
    text = str(described)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(schemas)
    assert "$defs" not in text
    assert "HTTPValidationError" not in schemas


def test_what_is_answered_directly_is_described() -> None:
    app = create_app([Reversing()])
    direct = [route for route in app.routes if isinstance(route, Direct)]
    assert [(route.path, route.methods) for route in direct] == [("/translate", {"POST"})]
    assert all("post" in app.openapi()["paths"][route.path] for route in direct)
