"""The DeepL dialect: the unmodified client against a live server, and the shape of every error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import deepl
import pytest
from fastapi.testclient import TestClient
from serve_stub import Reversing
from serve_tools import live

from s2s.serve.app import Settings, create_app

GOOD = {"text": ["a b"], "source_lang": "EN", "target_lang": "DE"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    runs = [Reversing("en", "de"), Reversing("fr", "de"), Reversing("de", "en")]
    with live(create_app(runs)) as url:
        yield url


@pytest.fixture(scope="module")
def translator(url: str) -> deepl.DeepLClient:
    return deepl.DeepLClient("unused", server_url=url)


def test_one_text(translator: deepl.DeepLClient) -> None:
    found = translator.translate_text("guten Tag & 1+1 = 2 €", source_lang="EN", target_lang="DE")
    assert (found.text, found.detected_source_lang, found.billed_characters) == ("€ 2 = 1+1 & Tag guten", "EN", 21)


def test_a_batch_keeps_order_and_breaks(translator: deepl.DeepLClient) -> None:
    found = translator.translate_text(["a b", "", "c d\n\ne f"], source_lang="EN", target_lang="DE")
    assert [one.text for one in found] == ["b a", "", "d c\n\nf e"]
    assert [one.billed_characters for one in found] == [3, 0, 8]


def test_the_source_of_each_text_is_found_out(translator: deepl.DeepLClient) -> None:
    texts = ["A man is walking down the street.", "Un homme marche dans la rue avec son chien."]
    found = translator.translate_text(texts, target_lang="DE")
    assert [one.detected_source_lang for one in found] == ["EN", "FR"]
    assert found[1].text == "chien. son avec rue la dans marche homme Un"


def test_a_country_that_no_run_names_is_left_out(translator: deepl.DeepLClient) -> None:
    assert translator.translate_text("a b", source_lang="DE", target_lang="EN-GB").text == "b a"


def test_languages(translator: deepl.DeepLClient) -> None:
    assert [(one.code, one.name) for one in translator.get_source_languages()] == [
        ("EN", "English"), ("FR", "French"), ("DE", "German"),
    ]  # fmt: skip
    assert [(one.code, one.supports_formality) for one in translator.get_target_languages()] == [
        ("DE", False), ("EN", False),
    ]  # fmt: skip


def test_usage_counts_characters() -> None:
    with live(create_app([Reversing()])) as url:
        client = deepl.DeepLClient("unused", server_url=url)
        assert client.get_usage().character.count == 0
        client.translate_text(["a b", "cd"], source_lang="EN", target_lang="DE")
        usage = client.get_usage()
        assert usage.character.count == 5
        assert not usage.any_limit_reached


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_lang": "XX"}, "Value for 'target_lang' not supported: XX; available: DE, EN"),
        ({"target_lang": "FR"}, "Value for 'target_lang' not supported: FR; available: DE, EN"),
        ({"source_lang": "XX"}, "Value for 'source_lang' not supported: XX"),
        ({"formality": "more"}, "Value for 'formality' not supported: more"),
    ],
)
def test_what_is_not_there_is_refused(translator: deepl.DeepLClient, options: dict[str, Any], message: str) -> None:
    with pytest.raises(deepl.DeepLException, match=message):
        translator.translate_text("a", **{"target_lang": "DE", "source_lang": "EN", **options})


def test_the_client_tries_again_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the server is answered with 500 and tried again, and the client gives up with our message."""
    stub = Reversing()
    monkeypatch.setattr(deepl.http_client, "max_network_retries", 2)
    monkeypatch.setattr(deepl.http_client._BackoffTimer, "BACKOFF_INITIAL", 0.01)
    with live(create_app([stub])) as url, pytest.raises(deepl.DeepLException, match="Internal server error"):
        deepl.DeepLClient("unused", server_url=url).translate_text("crash", source_lang="EN", target_lang="DE")
    assert stub.lines == ["crash"] * 3


def test_a_form_repeats_text() -> None:
    client = TestClient(create_app([Reversing()]))
    fields = {"text": ["a b", "c d"], "target_lang": "de"}
    found = client.post("/v2/translate", data=fields).json()["translations"]
    assert [one["text"] for one in found] == ["b a", "d c"]
    assert client.post("/v2/translate", data={"text": "a b", "target_lang": "DE"}).json()["translations"] == [
        {"detected_source_language": "EN", "text": "b a", "billed_characters": 3}
    ]


def test_type_of_languages_in_the_address_or_the_body() -> None:
    client = TestClient(create_app([Reversing()]))
    both = client.get("/v2/languages?type=target"), client.request("GET", "/v2/languages", data={"type": "target"})
    for reply in both:
        assert reply.json() == [{"language": "DE", "name": "German", "supports_formality": False}]
    assert client.get("/v2/languages").json() == [{"language": "EN", "name": "English"}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v2/translate", {}, 400),
        ("POST", "/v2/translate", GOOD | {"text": []}, 400),
        ("POST", "/v2/translate", GOOD | {"text": [1]}, 400),
        ("POST", "/v2/translate", GOOD | {"text": ["crash"]}, 500),
        ("POST", "/v2/translate", GOOD | {"text": ["x" * 90]}, 400),
        ("POST", "/v2/translate", GOOD | {"text": ["x" * 900]}, 413),
        ("POST", "/v2/translate", GOOD | {"glossary_id": "1"}, 400),
        ("GET", "/v2/translate", None, 405),
        ("POST", "/v2/nowhere", GOOD, 404),
        ("GET", "/v2/languages?type=both", None, 400),
    ],
)
def test_every_error_has_the_shape(method: str, path: str, body: Any, status: int) -> None:
    client = TestClient(create_app([Reversing()], Settings(char_limit=80, max_body=800)))
    reply = client.request(method, path, json=body)
    assert reply.status_code == status
    assert list(reply.json()) == ["message"]
    assert "secret" not in reply.text
