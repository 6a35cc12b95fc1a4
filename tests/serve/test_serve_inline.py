"""Tags within sentences: where they go, and that none is lost, doubled or misplaced, whatever the model says."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serve_stub import Reversing

from s2s.serve.app import create_app
from s2s.serve.lines import Whole
from s2s.serve.markup import DEEPEST, Page
from s2s.serve.tokens import tokens_of


def put(source: str, translation: str, links: Sequence[tuple[int, int]] | None) -> str:
    page = Page(source)
    assert len(page.texts) == 1
    return page.filled([Whole(translation, links)])


def turned(source: str) -> str:
    """In capitals, the words in the opposite order."""
    (text,) = Page(source).texts
    words = text.upper().split()
    return put(source, " ".join(reversed(words)), [(len(words) - 1 - place, place) for place in range(len(words))])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a <b>red</b> house", "HOUSE <b>RED</b> A"),
        ("a <b>red,</b> <i>big <u>old</u></i> house.", "HOUSE. <i><u>OLD</u> BIG</i> <b>RED,</b> A"),
        ("<p> <b>all of it</b> </p>", "<p> <b>IT OF ALL</b> </p>"),
        ('see <a href="x&amp;y">the &lt;docs&gt;</a> now', 'NOW <a href="x&amp;y">&lt;DOCS&gt; THE</a> SEE'),
        ("H<sub>2</sub>O is (<b>very</b>) wet", "WET (<b>VERY</b>) IS H<sub>2</sub>O"),
        ("hello<b> big </b>world", "WORLD <b>BIG</b> HELLO"),
        ("<b>u</b>nhappy man", "MAN <b>UNHAPPY</b>"),
        ("x <b>one</b> <b>two</b> y", "Y <b>TWO</b> <b>ONE</b> X"),
        ("an <img src=x>icon here", "HERE <img src=x>ICON AN"),
        ("an icon<img src=x> here", "HERE ICON<img src=x> AN"),
        ("an icon <img src=x> here", "HERE ICON <img src=x> AN"),
        ("use <code>f()</code> <!-- c --> now", "NOW USE <code>f()</code> <!-- c -->"),
        ("<i class=x></i> save <b> </b> it", "<i class=x></i> IT SAVE <b> </b>"),
        ("see <a href=x><img src=y> the docs</a> now", "NOW <a href=x>DOCS <img src=y> THE</a> SEE"),
        ("the <span class='x notranslate'>Acme</span> shop", "SHOP THE <span class='x notranslate'>Acme</span>"),
        ("go <b>a<wbr>b</b>", "<b>AB<wbr></b> GO"),
    ],
)
def test_tags_go_with_their_words(source: str, expected: str) -> None:
    assert turned(source) == expected


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("<p>a <b>b</b><br>c<p>d", ["a b", "c", "d"]),
        ("<b>a <i>b</b> c</i> d", ["a", "b", "c", "d"]),
        ("<a href=x>a<p>b</p></a>c", ["a", "b", "c"]),
        ("<td>a</td><td>b <em>c</em></td>", ["a", "b c"]),
        ("<g1>a</g1> b</b> c", ["a b", "c"]),
        ("a<b></b>b <i> </i> c", ["ab c"]),
    ],
)
def test_what_goes_to_the_model_at_once(source: str, texts: list[str]) -> None:
    assert Page(source).texts == texts


def test_the_words_of_an_element_stay_together_where_one_strays() -> None:
    links = [(0, 0), (1, 1), (2, 2), (3, 3), (1, 6), (4, 4), (5, 5)]
    assert put("a <b>b c d</b> e f", "A B C D E F B", links) == "A <b>B C D</b> E F B"


def test_elements_do_not_overlap_where_their_words_mix() -> None:
    links = [(0, 0), (1, 1), (0, 2), (1, 3), (2, 4)]
    assert put("<b>a</b> <i>b</i> c", "1 2 3 4 5", links) == "<b>1</b> <i>2</i> 3 4 5"


def test_an_element_whose_words_nothing_stands_for() -> None:
    assert put("a <b>b</b> c", "A X C", [(0, 0), (2, 2)]) == "A <b>X</b> C"
    assert put("a <b>b</b> <i>c</i>", "A", [(0, 0)]) == "<b>A</b><i></i>"
    assert put("a <b>b</b> <img>c", "", None) == "<b></b><img>"


def test_without_links_words_are_taken_in_order() -> None:
    assert put("the <b>red</b> house, <i>here</i>.", "das rote Haus, hier.", None) == (
        "das <b>rote</b> Haus, <i>hier</i>."
    )


WORDS = st.lists(st.sampled_from(["a", "Bc,", "H2O", "x", "&amp;", "(no)", "2", "é-f."]), min_size=1, max_size=3)
TEXT = st.tuples(st.sampled_from(["", " "]), WORDS.map(" ".join), st.sampled_from(["", " ", "\n "])).map("".join)


def elements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A tag around some of what is inside, or with nothing in it."""
    content = st.lists(inner, max_size=3).map("".join)
    return st.tuples(st.sampled_from(["b", "i", "a", "span", "x"]), content).map(
        lambda one: f"<{one[0]} ID>{one[1]}</{one[0]}>"
    )


LEAVES = st.one_of(TEXT, TEXT, st.sampled_from(["<img ID/>", "<code ID>a  b</code>", " ", "<br ID/>"]))
SENTENCES = st.lists(st.recursive(LEAVES, elements, max_leaves=8), max_size=5).map("".join)
LINKS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12)


def numbered(source: str) -> str:
    """Each tag with an attribute of its own."""
    count = iter(range(10_000))
    return re.sub("ID", lambda _: f'id="{next(count)}"', source)


def tree(source: str) -> tuple[dict[str, list[str]], str]:
    """The elements around each element, and the text; fails where the source is not well-formed."""
    root = ET.fromstring(f"<root id=''>{source}</root>")
    above = {child: parent for parent in root.iter() for child in parent}

    def path(one: ET.Element) -> list[str]:
        return [] if one not in above else [*path(above[one]), above[one].attrib["id"]]

    return {one.attrib["id"]: path(one) for one in root.iter()}, "".join(root.itertext())


@given(SENTENCES.map(numbered), st.lists(st.tuples(WORDS, st.none() | LINKS), min_size=30, max_size=30))
def test_every_tag_once_and_within_the_same_others(
    source: str, answers: list[tuple[list[str], list[tuple[int, int]] | None]]
) -> None:
    page = Page(source)
    found = [Whole(" ".join(words) + " <&", links) for words, links in answers][: len(page.texts)]
    filled = page.filled(found)
    assert tree(filled)[0] == tree(source)[0]
    assert tags(filled) == tags(source)
    kept = "".join(tree(source)[1].split()) if not page.texts else None
    assert kept is None or kept == "".join(tree(filled)[1].split())


def tags(source: str) -> Counter[str]:
    return Counter(token.raw for token in tokens_of(source) if token.kind != "text" and token.name != "code")


@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=4), st.none() | LINKS)
def test_a_text_without_tags_is_the_translation_itself(words: list[str], links: list[tuple[int, int]] | None) -> None:
    page = Page("".join(f"<p>{text}</p>" for text in words))
    translations = [Whole(text[::-1], links) for text in page.texts]
    (*filled,) = [token for token in tokens_of(page.filled(translations)) if token.kind == "text"]
    assert "".join(token.prose for token in filled) == "".join(one.text for one in translations)
    assert not page.marked


def test_deep_and_long_ones_take_no_longer() -> None:
    before = time.process_time()
    for source in (
        "<b>x " * 5_000 + "</b>" * 5_000,
        "<b>x</b> <i>y</i> " * 2_500,
        "x.y <b>" + "a.b" * 10_000 + "</b> c",
    ):
        page = Page(source)
        filled = page.filled([Whole(text, [(0, place) for place in range(9)]) for text in page.texts])
        assert tags(filled) == tags(source)
    assert time.process_time() - before < 10
    assert len(Page("<b>x " * (DEEPEST + 1) + "</b>" * (DEEPEST + 1)).texts) > 1
    assert len(Page("<b>x " * DEEPEST + "</b>" * DEEPEST).texts) == 1


def test_through_the_server() -> None:
    run = Reversing()
    client = TestClient(create_app([run]))
    asked = {"q": "<p>a <b>b c</b> d.</p><p>e f</p>", "source": "en", "target": "de", "format": "html"}
    assert client.post("/translate", json=asked).json() == {"translatedText": "<p>d. <b>c b</b> a</p><p>f e</p>"}
    assert sorted(run.lines) == ["a b c d.", "e f"]
    ways = client.post("/translate", json=asked | {"alternatives": 1}).json()
    assert ways["alternatives"] == ["<p>d. <b>c b</b> a!</p><p>f e!</p>"]


def test_a_model_without_attention() -> None:
    client = TestClient(create_app([Reversing(attends=False)]))
    asked = {"text": ["one <b>two</b> three"], "source_lang": "EN", "target_lang": "DE", "tag_handling": "html"}
    assert client.post("/v2/translate", json=asked).json()["translations"][0]["text"] == "three <b>two</b> one"


def test_equal_languages_leave_a_page_as_it_is() -> None:
    client = TestClient(create_app([Reversing()]))
    asked = {"q": "<p>a  <b> b</b>\n c</p>", "source": "en", "target": "en", "format": "html"}
    assert client.post("/translate", json=asked).json() == {"translatedText": asked["q"]}
