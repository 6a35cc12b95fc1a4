"""API keys: made, listed, revoked; what a server with keys answers; nothing tells whether a key exists."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serve_stub import Reversing

from s2s.errors import UserError
from s2s.serve.app import Settings, create_app
from s2s.serve.keys import Keys, list_keys, make_key, revoke_key

GOOD = {"q": "a b", "source": "en", "target": "de"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.sqlite"


def test_a_key_is_valid_until_it_is_revoked(file: Path) -> None:
    one, other = make_key(file, "shop"), make_key(file, "shop")
    keys = Keys(file)
    first, second = list_keys(file)
    assert (keys.check(one), keys.check(other)) == (first.id, second.id)
    revoked = revoke_key(file, first.id)
    assert revoked.revoked is not None
    assert revoke_key(file, first.id) == revoked
    assert (keys.check(one), keys.check(other)) == (None, second.id)
    assert list_keys(file) == [revoked, second]
    assert revoke_key(file, other).id == second.id  # by the key itself


def test_no_other_string_is_a_key(file: Path) -> None:
    key, keys = make_key(file, "shop"), Keys(file)
    others = [
        "",
        "s2s",
        key[:-1],
        key + "a",
        key.upper(),
        key[:-1] + "!",
        f" {key}",
        "s2s_" + "0" * 52,
        "\udcff",
        "ä" * 99,
    ]
    assert [keys.check(other) for other in others] == [None] * len(others)


def test_the_file_does_not_hold_the_key_and_is_its_owners(file: Path) -> None:
    key = make_key(file, "shop")
    assert key.split("_", 2)[2].encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_mistakes(file: Path) -> None:
    for call in (list_keys, Keys):
        with pytest.raises(UserError, match="there is no such file of keys; make one with"):
            call(file)
    for name in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(UserError, match="key's name"):
            make_key(file, name)
    assert not file.exists()
    make_key(file, "shop")
    with pytest.raises(UserError, match="no key with the id 'nobody'"):
        revoke_key(file, "nobody")
    file.write_text("x" * 5000)
    with pytest.raises(UserError, match="cannot be used as a file of keys"):
        Keys(file)
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE other (a)")
    connection.close()
    for ask in (Keys, list_keys):
        with pytest.raises(UserError, match="is no file of keys"):
            ask(file)


def ask(client: TestClient, **fields: Any) -> Any:
    reply = client.post("/translate", json=GOOD | fields)
    return reply.status_code, reply.json()


def test_a_server_with_keys(file: Path) -> None:
    valid, gone = make_key(file, "shop"), make_key(file, "gone")
    revoke_key(file, list_keys(file)[1].id)
    client = TestClient(create_app([Reversing()], keys=file))
    assert ask(client, api_key=valid) == (200, {"translatedText": "b a"})
    wrong = {"nonsense", gone, valid[:-1], "s2s_00000000_" + "a" * 43}
    answers = [client.post("/translate", json=GOOD | {"api_key": key}) for key in wrong]
    assert {(reply.status_code, reply.text) for reply in answers} == {(403, '{"error":"Invalid API key"}')}
    assert len({tuple(sorted(reply.headers)) for reply in answers}) == 1
    missing = ask(client)
    assert missing[0] in (400, 403)
    assert "API key" in missing[1]["error"]
    later = make_key(file, "later")
    assert ask(client, api_key=later)[0] == 200


def test_a_server_without_keys_does_not_look_at_one() -> None:
    assert ask(TestClient(create_app([Reversing()])), api_key="any")[0] == 200


def test_limits_belong_to_a_key_and_guesses_to_an_address(file: Path) -> None:
    one, other = make_key(file, "one"), make_key(file, "other")
    client = TestClient(create_app([Reversing()], Settings(requests_per_minute=2), keys=file))
    assert [ask(client, api_key=one)[0] for _ in range(3)] == [200, 200, 429]
    assert [ask(client, api_key=other)[0] for _ in range(3)] == [200, 200, 429]
    assert [ask(client, api_key="guess")[0] for _ in range(3)] == [403, 403, 429]
