"""The OpenAI chat dialect: the unmodified client against a live server, streams, and the shape of every error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from serve_stub import Echoing, Reversing
from serve_tools import live

from s2s.errors import UserError
from s2s.serve.app import Settings, create_app

SPEAKER = Echoing()
TALK: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello there."},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": [{"type": "text", "text": "Who are you?"}, {"type": "image_url", "image_url": {}}]},
]
GOOD = {"model": "echoing", "messages": [{"role": "user", "content": "a b"}]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live(create_app([Reversing(), SPEAKER])) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=0) as client:
        yield client


def test_a_reply_to_what_was_said(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="echoing", messages=TALK, temperature=0.5, top_p=0.9, seed=-3)
    assert reply.choices[0].message.content == "3 Who are you?"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (6, 4, 10)
    assert SPEAKER.asked[-1] == {"temperature": 0.5, "top_p": 0.9, "seed": 3}


def test_several_replies_limits_and_stops(client: openai.OpenAI) -> None:
    several = client.chat.completions.create(model="echoing", messages=TALK, n=3)
    assert [one.message.content for one in several.choices] == [
        "3 Who are you?", "3 Who are you??", "3 Who are you???",
    ]  # fmt: skip
    assert [one.index for one in several.choices] == [0, 1, 2]
    short = client.chat.completions.create(model="echoing", messages=TALK, max_tokens=2).choices[0]
    assert (short.message.content, short.finish_reason) == ("3 Who", "length")
    newer = client.chat.completions.create(model="echoing", messages=TALK, max_tokens=2, max_completion_tokens=3)
    assert newer.choices[0].message.content == "3 Who are"
    stopped = client.chat.completions.create(model="echoing", messages=TALK, stop=["you", " are"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("3 Who", "stop")


def test_a_stream_of_words(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="echoing", messages=TALK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas[1:-1]] == ["3 ", "Who ", "are ", "you?"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_clients_own_stream_helper_joins_them(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="echoing", messages=TALK, n=2) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert [one.message.content for one in final.choices] == ["3 Who are you?", "3 Who are you??"]


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echoing"]
    assert client.models.retrieve("echoing").owned_by == "s2s"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt/4")
    assert caught.value.code == "model_not_found"


def test_what_cannot_be_answered(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'reversing' does not exist") as caught:
        client.chat.completions.create(model="reversing", messages=TALK)
    assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="hold nothing"):
        client.chat.completions.create(model="echoing", messages=TALK[:1])
    with pytest.raises(openai.BadRequestError, match="temperature must be a number from 0 to 2"):
        client.chat.completions.create(model="echoing", messages=TALK, temperature=3)
    with pytest.raises(openai.BadRequestError, match="exceeds limit"):
        client.chat.completions.create(model="echoing", messages=TALK, n=99)


def test_a_fault_is_tried_again(url: str) -> None:
    before = len(SPEAKER.asked)
    with (
        openai.OpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=1) as client,
        pytest.raises(openai.InternalServerError, match="Internal server error"),
    ):
        client.chat.completions.create(model="echoing", messages=[{"role": "user", "content": "crash"}])
    assert len(SPEAKER.asked) == before + 2


def test_the_stream_as_it_stands_on_the_wire() -> None:
    client = TestClient(create_app([Echoing()]))
    reply = client.post("/v1/chat/completions", json=GOOD | {"stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("data: [DONE]\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n")[:-2]]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert "usage" not in events[0]
    assert events[0]["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", "/v1/chat/completions", {}, 400, "invalid_request_error"),
        ("POST", "/v1/chat/completions", GOOD | {"messages": "hello"}, 400, "invalid_request_error"),
        ("POST", "/v1/chat/completions", GOOD | {"messages": [{"content": "a"}]}, 400, "invalid_request_error"),
        ("POST", "/v1/chat/completions", GOOD | {"stream": "yes"}, 400, "invalid_request_error"),
        ("POST", "/v1/chat/completions", GOOD | {"user": "x" * 900}, 413, "invalid_request_error"),
        ("POST", "/v1/chat/completions", GOOD | {"model": "other"}, 404, "invalid_request_error"),
        (
            "POST",
            "/v1/chat/completions",
            GOOD | {"messages": [{"role": "user", "content": "crash"}]},
            500,
            "server_error",
        ),
        ("GET", "/v1/chat/completions", None, 405, "invalid_request_error"),
        ("POST", "/v1/embeddings", GOOD, 404, "invalid_request_error"),
    ],
)
def test_every_error_has_the_shape(method: str, path: str, body: Any, status: int, kind: str) -> None:
    client = TestClient(create_app([Echoing()], Settings(max_body=800)))
    reply = client.request(method, path, json=body)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["type"] == kind
    assert "secret" not in reply.text


def test_a_server_of_dialogues_alone() -> None:
    client = TestClient(create_app([Echoing()]))
    assert client.get("/languages").json() == []
    reply = client.post("/translate", json={"q": "a", "source": "en", "target": "de"})
    assert (reply.status_code, reply.json()) == (400, {"error": "en is not supported"})


def test_two_speakers_of_one_name() -> None:
    with pytest.raises(UserError, match="'echoing'"):
        create_app([Echoing(), Echoing()])
