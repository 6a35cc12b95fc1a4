"""The LibreTranslate dialect beyond /translate: detection, settings, files, glossaries; the unmodified client."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from libretranslatepy import LibreTranslateAPI
from serve_stub import Reversing
from serve_tools import live

from s2s.errors import UserError
from s2s.serve.app import Settings, create_app
from s2s.serve.files import SECONDS, File, Shelf

ENGLISH, FRENCH = "A man is walking down the street.", "Un homme marche dans la rue avec son chien."


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Two sources of German, and one of English."""
    with TestClient(create_app([Reversing("en", "de"), Reversing("fr", "de"), Reversing("de", "en")])) as client:
        yield client


def test_libretranslatepy_detects() -> None:
    with live(create_app([Reversing("en", "de"), Reversing("fr", "de")])) as url:
        api = LibreTranslateAPI(url)
        assert api.detect(FRENCH)[0]["language"] == "fr"
        assert api.translate("la rue et le chien", "auto", "de") == "chien le et rue la"
        with pytest.raises(urllib.error.HTTPError) as caught:
            api.detect("")
        assert json.load(caught.value) == {"error": "Invalid request: missing q parameter"}
        caught.value.close()


def test_detect(client: TestClient) -> None:
    ranked = client.post("/detect", json={"q": ENGLISH}).json()
    assert ranked[0]["language"] == "en"
    assert 90 < ranked[0]["confidence"] <= 100
    assert [one["confidence"] for one in ranked] == sorted((one["confidence"] for one in ranked), reverse=True)
    assert client.post("/detect", data={"q": "12 + 3"}).json() == [{"confidence": 0.0, "language": "en"}]
    assert client.post("/detect", json={"q": ["a"]}).status_code == 400
    unknown = TestClient(create_app([Reversing("src", "tgt")]))
    assert unknown.post("/detect", json={"q": "abc"}).json() == [{"confidence": 0.0, "language": "src"}]


def test_auto_is_found_out_for_each_text(client: TestClient) -> None:
    asked = {"q": [FRENCH, "", ENGLISH, "12 3"], "source": "auto", "target": "de"}
    reply = client.post("/translate", json=asked).json()
    assert [one["language"] for one in reply["detectedLanguage"]] == ["fr", "en", "en", "en"]
    confidences = [one["confidence"] for one in reply["detectedLanguage"]]
    assert min(confidences[0], confidences[2]) > 90
    assert (confidences[1], confidences[3]) == (0.0, 0.0)
    assert reply["translatedText"][1:] == ["", "street. the down walking is man A", "3 12"]


def test_regions_and_old_codes_are_detected() -> None:
    client = TestClient(create_app([Reversing("fr-CA", "nb"), Reversing("en_GB", "nb")]))
    reply = client.post("/translate", json={"q": FRENCH, "source": "auto", "target": "nb"}).json()
    assert reply["detectedLanguage"]["language"] == "fr-CA"


def test_frontend_settings(client: TestClient) -> None:
    assert client.get("/frontend/settings").json() == {
        "apiKeys": False,
        "charLimit": -1,
        "filesTranslation": True,
        "frontendTimeout": 500,
        "keyRequired": False,
        "language": {"source": {"code": "auto", "name": "Auto Detect"}, "target": {"code": "de", "name": "German"}},
        "suggestions": False,
        "supportedFilesFormat": [".txt", ".html"],
    }


def send(client: TestClient, name: str, data: bytes, **fields: str) -> Any:
    return client.post("/translate_file", data={"source": "en", "target": "de"} | fields, files={"file": (name, data)})


def test_a_file_goes_and_comes_back(client: TestClient) -> None:
    reply = send(client, "my file.TXT", "\ufeffa b\r\n\r\nc ä\n".encode())
    url = reply.json()["translatedFileUrl"]
    assert url.startswith("http://testserver/download_file/")
    assert url.endswith(".txt")
    found = client.get(url)
    assert found.content == "b a\r\n\r\nä c\n".encode()
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert found.headers["content-disposition"] == "attachment"
    assert client.get(url).status_code == 200
    page = client.get(send(client, "page.html", b"<p>a b</p>").json()["translatedFileUrl"])
    assert page.content == b"<p>b a</p>"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.pdf", b"a", "file must be one of .txt, .html, got .pdf"),
        ("a", b"a", "got no suffix"),
        ("a.txt", b"\xff", "file must be in UTF-8"),
    ],
)
def test_files_that_cannot_be_read(client: TestClient, name: str, data: bytes, message: str) -> None:
    reply = send(client, name, data)
    assert (reply.status_code, list(reply.json())) == (400, ["error"])
    assert message in reply.json()["error"]


def test_a_file_is_needed_and_limits_hold() -> None:
    client = TestClient(create_app([Reversing()], Settings(char_limit=5)))
    fields = {"source": "en", "target": "de"}
    assert client.post("/translate_file", data=fields).json() == {"error": "Invalid request: missing file parameter"}
    assert "file must be a file" in client.post("/translate_file", data=fields | {"file": "a"}).json()["error"]
    assert "exceeds text limit" in send(client, "a.txt", b"a b c d").json()["error"]
    assert send(client, "a.txt", b"a", source="xx").json() == {"error": "xx is not supported"}
    two = client.post("/translate_file", data=fields, files=[("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))])
    assert two.status_code == 400


@pytest.mark.parametrize(
    "name", ["x.txt", "..%2f", "../app.py", "..%2fapp.py", "%2e%2e/app.py", "%2Fetc%2Fpasswd", "a%00.txt", "", "a/b"]
)
def test_no_path_leads_anywhere(client: TestClient, name: str) -> None:
    reply = client.get(f"/download_file/{name}")
    assert (reply.status_code, list(reply.json())) == (404, ["error"])


def test_files_do_not_stay() -> None:
    now = [0.0]
    shelf = Shelf(most=10, clock=lambda: now[0])
    first, second = (shelf.put(File(b"12345", "text/plain"), ".txt") for _ in range(2))
    assert first != second
    assert shelf.get(first) is not None
    third = shelf.put(File(b"1", "text/plain"), ".txt")
    assert [shelf.get(name) is None for name in (first, second, third)] == [True, False, False]
    now[0] = SECONDS + 1.0
    assert [shelf.get(name) for name in (second, third)] == [None, None]


def test_a_glossary_is_kept(client: TestClient) -> None:
    asked = {"q": "Das alte haus\nnichts", "source": "de", "target": "en", "glossary": {"Haus": "HOUSE", "alt": "no"}}
    assert client.post("/translate", json=asked).json() == {"translatedText": "haus alte Das HOUSE\nnichts"}


@pytest.mark.parametrize("glossary", [["a"], {"a": 1}, {"a": " "}, {"": "a"}, {str(k): "a" for k in range(101)}, "a"])
def test_no_glossary(client: TestClient, glossary: Any) -> None:
    reply = client.post("/translate", json={"q": "a", "source": "de", "target": "en", "glossary": glossary})
    assert reply.status_code == 400
    assert "glossary" in reply.json()["error"]


def test_a_term_that_the_run_cannot_write_is_refused() -> None:
    class Poor(Reversing):
        def translate(self, texts: Any, *, required: Any = None, **options: Any) -> Any:
            if required and any(required):
                raise UserError("the target vocabulary cannot write it")
            return super().translate(texts, **options)

    client = TestClient(create_app([Poor()]))
    asked = {"q": "a", "source": "en", "target": "de", "glossary": {"a": "b"}}
    reply = client.post("/translate", json=asked)
    assert (reply.status_code, reply.json()) == (
        400,
        {"error": "Invalid request: the target vocabulary cannot write it"},
    )
    assert client.post("/translate", json=asked | {"q": "c"}).json() == {"translatedText": "c"}


def test_a_downloaded_file_over_the_wire() -> None:
    with live(create_app([Reversing()])) as url:
        body = io.BytesIO()
        for name, value in (("source", "en"), ("target", "de")):
            body.write(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        body.write(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\na b\r\n--x--\r\n')
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        request = urllib.request.Request(f"{url}/translate_file", body.getvalue(), headers)
        with urllib.request.urlopen(request, timeout=20) as reply:
            place = json.load(reply)["translatedFileUrl"]
        assert place.startswith(url)
        with urllib.request.urlopen(place, timeout=20) as reply:
            assert reply.read() == b"b a"
