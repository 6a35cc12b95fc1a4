"""POST /translate of the LibreTranslate dialect: answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from serve_stub import Hypothesis, Reversing

from s2s.serve.app import Settings, create_app
from s2s.serve.lines import translate_texts


def post(client: TestClient, **fields: Any) -> Any:
    reply = client.post("/translate", json={"source": "en", "target": "de"} | fields)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_single(client: TestClient) -> None:
    assert post(client, q="a b c") == {"translatedText": "c b a"}


def test_form(client: TestClient) -> None:
    fields = {"q": "ä b+c", "source": "en", "target": "de", "format": "", "alternatives": "", "api_key": "x"}
    assert client.post("/translate", data=fields).json() == {"translatedText": "b+c ä"}
    parts = {name: (None, value) for name, value in fields.items()}
    reply = client.post("/translate", files=parts)
    assert reply.request.headers["content-type"].startswith("multipart/form-data")
    assert reply.json() == {"translatedText": "b+c ä"}


def test_batch_keeps_order_and_blanks(client: TestClient) -> None:
    assert post(client, q=["a b", "", "c d", "  "]) == {"translatedText": ["b a", "", "d c", ""]}
    assert post(client, q=[""]) == {"translatedText": [""]}


def test_alternatives(client: TestClient) -> None:
    assert post(client, q="a b", alternatives=2) == {"translatedText": "b a", "alternatives": ["b a!", "b a!!"]}
    assert post(client, q=["a b", ""], alternatives=1) == {
        "translatedText": ["b a", ""],
        "alternatives": [["b a!"], []],
    }
    assert "alternatives" not in post(client, q="a", alternatives=0)
    assert client.post("/translate", data={"q": "a b", "source": "en", "target": "de", "alternatives": "1"}).json() == {
        "translatedText": "b a",
        "alternatives": ["b a!"],
    }


def test_fewer_alternatives_than_asked() -> None:
    client = TestClient(create_app([Reversing(limit=2)]))
    assert post(client, q="a b", alternatives=5)["alternatives"] == ["b a!"]


def test_lines_are_translated_one_by_one(client: TestClient) -> None:
    assert post(client, q="a b\n\nc d\r\n  \r\ne f\n") == {"translatedText": "b a\n\nd c\r\n\r\nf e\n"}
    assert post(client, q="\n\n") == {"translatedText": "\n\n"}
    assert post(client, q="a b\n\nc", alternatives=1)["alternatives"] == ["b a!\n\nc!"]


def test_a_line_goes_to_the_model_whole(client: TestClient) -> None:
    assert post(client, q="A b one.  D e!\n F g? H") == {"translatedText": "e! D one. b A\nH g? F"}
    stub = Reversing()
    post(TestClient(create_app([stub])), q=" A one.  B two. \n\tC")
    assert stub.lines == [" A one.  B two. ", "\tC"]


def test_a_line_with_a_term_goes_there_by_sentences(client: TestClient) -> None:
    assert post(client, q="No. Dr. A one.", glossary={"A": "X"}) == {"translatedText": "No. one. A Dr. X"}
    assert post(client, q="No. A one.\nB two. C", glossary={"A": "X"})["translatedText"] == "No. one. A X\nC two. B"
    found = post(client, q="B two. A one.", glossary={"A": "X"}, alternatives=1)
    assert found == {"translatedText": "two. B one. A X", "alternatives": ["two. B! one. A X!"]}
    assert post(client, q="你好。A 再见。", glossary={"A": "X"}) == {"translatedText": "你好。再见。 A X"}


@given(st.lists(st.text(alphabet="ab \n\r\x0b\x85\u2028\x1c", max_size=12), max_size=5), st.integers(1, 3))
def test_no_line_break_reaches_the_model_and_every_one_survives(texts: list[str], n_best: int) -> None:
    stub = Reversing()

    async def ask(lines: Sequence[str], required: object) -> list[list[Hypothesis]]:
        assert required is None
        return stub.translate(lines, n_best=n_best)

    found = asyncio.run(translate_texts(ask, texts, n_best=n_best))
    assert all(len(line.splitlines()) == 1 and line.strip() for line in stub.lines)
    assert len(found) == len(texts)
    for text, ranked in zip(texts, found, strict=True):
        lines = zip(text.splitlines(), text.splitlines(keepends=True), strict=True)
        assert ranked[0].text == "".join(" ".join(reversed(line.split())) + kept[len(line) :] for line, kept in lines)
        assert len({one.text for one in ranked}) == len(ranked) <= n_best


def test_auto_is_the_only_source_and_says_that_it_was_assumed(client: TestClient) -> None:
    assumed = {"confidence": 0.0, "language": "en"}
    assert post(client, q="a b", source="auto") == {"translatedText": "b a", "detectedLanguage": assumed}
    assert post(client, q=["a", "b"], source="auto")["detectedLanguage"] == [assumed, assumed]


def test_same_language_is_left_alone(client: TestClient) -> None:
    assert post(client, q="a b\n c", target="en", alternatives=1) == {"translatedText": "a b\n c", "alternatives": []}


def test_a_run_from_a_language_to_itself_is_used() -> None:
    client = TestClient(create_app([Reversing("en", "en")]))
    assert post(client, q="a b", target="en") == {"translatedText": "b a"}


def test_several_runs() -> None:
    back = Reversing("de", "en")
    client = TestClient(create_app([Reversing("en", "de"), back, Reversing("en", "fr")]))
    assert post(client, q="a b", source="de", target="en") == {"translatedText": "b a"}
    assert back.lines == ["a b"]
    assert post(client, q="a", source="auto", target="fr")["detectedLanguage"]["language"] == "en"
    assert client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de", "fr"]},
        {"code": "de", "name": "German", "targets": ["en"]},
    ]


def test_languages_ignores_a_body_and_names_unknown_codes_by_themselves(client: TestClient) -> None:
    reply = client.request("GET", "/languages", data={"api_key": "x"})
    assert reply.json() == [{"code": "en", "name": "English", "targets": ["de"]}]
    own = TestClient(create_app([Reversing("src", "tgt")]))
    assert own.get("/languages").json() == [{"code": "src", "name": "src", "targets": ["tgt"]}]


def test_health(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_the_work_is_done_off_the_event_loop() -> None:
    stub = Reversing()
    with TestClient(create_app([stub], Settings(workers=1))) as client:
        post(client, q="a")
    assert stub.threads == {"translate_0"}


@pytest.mark.parametrize("field", ["q", "source", "target", "format", "alternatives"])
def test_openapi_describes_the_request(client: TestClient, field: str) -> None:
    described = client.get("/openapi.json").json()
    assert {"/translate", "/languages", "/health"} <= set(described["paths"])
    operation = described["paths"]["/translate"]["post"]
    assert "422" not in operation["responses"]
    assert operation["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    reply = described["components"]["schemas"]["TranslateReply"]["properties"]
    assert set(reply) == {"translatedText", "detectedLanguage", "alternatives"}
    for body in operation["requestBody"]["content"].values():
        assert field in body["schema"]["properties"]
