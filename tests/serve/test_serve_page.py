"""The page at / without a browser: what is sent, under which rules, and the route that its map of attention asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serve_stub import Echoing, Reversing

from s2s.serve.app import Settings, create_app
from s2s.serve.attention import LONGEST, pairs_of
from s2s.serve.keys import make_key
from s2s.serve.page import HEADERS
from s2s.serve.refusal import Refusal

FILES = sorted((Path(__file__).parents[2] / "serve" / "page").iterdir())
ASKED = {"q": "one two", "translation": "two one", "source": "en", "target": "de"}


def test_everything_that_the_page_loads_is_served(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    for path in FILES:
        loaded += re.findall(r'from "\./([^"]+)"', path.read_text()) and [f"page/{path.name}"]
    assert {f"page/{path.name}" for path in FILES} - {"page/index.html"} <= {*loaded, "page/api.js"}
    for path in loaded:
        reply = client.get(f"/{path}")
        assert reply.status_code == 200, path
        assert reply.headers["content-type"].split(";")[0] in {
            "text/javascript", "application/javascript", "text/css", "image/svg+xml",
        }  # fmt: skip


def test_nothing_comes_from_elsewhere_and_nothing_stands_in_the_page_itself(client: TestClient) -> None:
    for reply in (client.get("/"), client.get("/page/main.js")):
        assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    for path in FILES:
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|//[a-z]+\.|innerHTML|\beval\b", text), path
    page = client.get("/").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page)


def test_browsers_ask_anew_and_get_nothing_twice(client: TestClient) -> None:
    first = client.get("/page/page.css")
    assert first.headers["cache-control"] == "no-cache"
    assert client.get("/page/page.css", headers={"if-none-match": first.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/page", "/page/", "/page/none.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page//etc/x"],
)
def test_no_path_leads_out_of_the_page(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, list(reply.json())) == (404, ["error"])


def test_the_page_is_there_for_those_without_a_key(tmp_path: Path) -> None:
    make_key(tmp_path / "keys.sqlite", "somebody")
    client = TestClient(create_app([Reversing(), Echoing()], keys=tmp_path / "keys.sqlite"))
    assert client.get("/").status_code == client.get("/page/main.js").status_code == 200
    refused = client.post("/attention", json=ASKED)
    assert (refused.status_code, refused.json()) == (403, {"error": "An API key is required"})


def test_attention_of_each_line(client: TestClient) -> None:
    found = client.post("/attention", json=ASKED | {"q": "One two. Three four.", "translation": "two. One four. Three"})
    assert found.json()["sentences"][0] == {
        "source": ["One", "two.", "Three", "four."],
        "target": ["two.", "One", "four.", "Three"],
        "weights": [[0.1, 0.9, 0, 0], [1, 0, 0, 0], [0.1, 0, 0, 0.9], [0.1, 0, 0.9, 0]],
    }
    found = client.post("/attention", json=ASKED | {"q": "one two\n\nblind\nx", "translation": "two one\n\nblind\nx"})
    assert [one["source"] for one in found.json()["sentences"]] == [["one", "two"], ["x"]]
    assert client.post("/attention", json=ASKED | {"target": "en"}).json() == {"sentences": []}


def test_lines_are_paired() -> None:
    found = pairs_of("One two. Three four.\n \nFive", "Two one. Four three.\n \nFive.")
    assert found == [("One two. Three four.", "Two one. Four three."), ("Five", "Five.")]
    with pytest.raises(Refusal, match="q has 2 lines and translation 1"):
        pairs_of("a\nb", "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"q": "x" * (LONGEST + 1)}, "Invalid request: q must be a text of at most 2000 characters"),
        ({"source": "zz"}, "zz is not supported"),
        ({"source": "auto"}, "auto is not supported"),
        ({"translation": "a\nb"}, "Invalid request: q has 1 lines and translation 2"),
    ],
)  # fmt: skip
def test_what_is_refused(client: TestClient, change: dict[str, str], message: str) -> None:
    reply = client.post("/attention", json=ASKED | change)
    assert (reply.status_code, reply.json()) == (400, {"error": message})


def test_attention_counts_towards_the_limits() -> None:
    client = TestClient(create_app([Reversing()], Settings(requests_per_minute=1)))
    assert [client.post("/attention", json=ASKED).status_code for _ in range(2)] == [200, 429]
