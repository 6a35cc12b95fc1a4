"""HTML keeps its markup: the parts that are translated, and all the others to the letter."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st
from serve_stub import Reversing

from s2s.serve.app import create_app
from s2s.serve.lines import Whole
from s2s.serve.markup import Page
from s2s.serve.tokens import tokens_of


def same_order(text: str) -> list[tuple[int, int]]:
    return [(place, place) for place in range(len(text.split()))]


def shouted(source: str) -> str:
    page = Page(source)
    return page.filled([Whole(text.upper(), same_order(text)) for text in page.texts])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain text", "PLAIN TEXT"),
        ("<p>one</p>\n\n<p>two</p>", "<p>ONE</p>\n\n<p>TWO</p>"),
        ('<A  HREF=x title="a > b">go <b>on</b> now</a>', '<A  HREF=x title="a > b">GO <b>ON</b> NOW</a>'),
        ("a<br>b<br/>c<hr />", "A<br>B<br/>C<hr />"),
        ("<p>a\n   b</p>", "<p>A B</p>"),
        ("fish &amp; chips &lt;3", "FISH &amp; CHIPS &lt;3"),
        ("a & b", "A &amp; B"),
        ("<p>&nbsp;</p>&eacute;", "<p>&nbsp;</p>É"),
        ("<script>if (a<b) x('<p>no</p>')</script>yes", "<script>if (a<b) x('<p>no</p>')</script>YES"),
        ("<style>p > a {}</style>yes", "<style>p > a {}</style>YES"),
        ("<pre> no\n no</pre>yes<code>no</code>", "<pre> no\n no</pre>YES<code>no</code>"),
        ('<p translate="no">no <b>no</b><br> no</p> yes', '<p translate="no">no <b>no</b><br> no</p> YES'),
        ("<div TRANSLATE=no><div>no</div>no</div>yes", "<div TRANSLATE=no><div>no</div>no</div>YES"),
        ("<!doctype html><!-- no --><?no?>yes", "<!doctype html><!-- no --><?no?>YES"),
        ("<![CDATA[no]]>yes<![x]>", "<![CDATA[no]]>YES<![x]>"),
        ("yes <!-- no", "YES <!-- no"),
        ("<span translate=no>no<p>no</span>yes", "<span translate=no>no<p>no</span>YES"),
        ("", ""),
    ],
)
def test_only_prose_is_touched(source: str, expected: str) -> None:
    assert shouted(source) == expected


pieces = [
    "<p>", "</p>", "<b", "<!--", "-->", "<![", "&amp;", "&#", "&", "<", ">", '"', "'", "x", " ", "\n", "</", "<?", "=",
    "\r", "ä", "<script>", "</script>", "translate=no",
]  # fmt: skip


@given(st.lists(st.sampled_from(pieces), max_size=20).map("".join) | st.text(max_size=30))
@example("<![x[a")
@example("&#;<b>a</b>&#;<b>c</b>")
def test_anything_is_read_and_nothing_is_lost(source: str) -> None:
    assert "".join(token.raw for token in tokens_of(source)) == source
    page = Page(source)
    assert all(text.strip() and len(text.splitlines()) == 1 for text in page.texts)
    filled = page.filled([Whole(text) for text in page.texts])
    raw = [token.raw for token in tokens_of(source) if token.kind != "text"]
    assert all(filled.count(part) >= count for part, count in Counter(raw).items())


@pytest.mark.parametrize(
    "piece", ["<!--", "<a ", "<a x='", "<![", "<?", "</", "</a ", "<", "&", "<p>", "<script>", "<p translate=no>"]
)
def test_broken_pages_take_no_longer(piece: str) -> None:
    before = time.process_time()
    Page(piece * 30_000)
    assert time.process_time() - before < 5


def test_format_html() -> None:
    client = TestClient(create_app([Reversing()]))
    asked = {"q": "<p>a b</p> <i>c d</i>", "source": "en", "target": "de", "format": "html", "alternatives": 1}
    assert client.post("/translate", json=asked).json() == {
        "translatedText": "<p>b a</p> <i>d c</i>",
        "alternatives": ["<p>b a!</p> <i>d c!</i>"],
    }
    several = client.post("/translate", json=asked | {"q": ["<p>a b", "<br>"], "alternatives": 0}).json()
    assert several == {"translatedText": ["<p>b a", "<br>"]}


def test_tag_handling_of_deepl() -> None:
    client = TestClient(create_app([Reversing()]))
    asked = {"text": ["<p>a b</p>"], "source_lang": "EN", "target_lang": "DE", "tag_handling": "html"}
    assert client.post("/v2/translate", json=asked).json()["translations"][0]["text"] == "<p>b a</p>"
    refused = client.post("/v2/translate", json=asked | {"tag_handling": "xml"})
    assert (refused.status_code, "'tag_handling' not supported" in refused.json()["message"]) == (400, True)
