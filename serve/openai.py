"""The OpenAI chat dialect over runs of dialogues: /v1/chat/completions, /v1/models; errors are {"error": {...}}."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, StrictBool

from .body import read_model
from .dialect import Dialect
from .protocols import Reply, Speaker
from .refusal import Refusal
from .schema import JSON, request_body
from .service import Service
from .stream import events

Filled = Annotated[str, Field(min_length=1)]
MOST_TURNS = 1000


class Part(BaseModel):
    """A part of a message; what is no text (pictures, sound) is not read."""

    type: str
    text: str = ""


class Message(BaseModel):
    role: str
    content: str | list[Part] | None = None

    def turn(self) -> str:
        """What was said; "" for a message of another role than user and assistant."""
        if self.role not in ("user", "assistant"):
            return ""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content if part.type == "text").strip()
        return (self.content or "").strip()


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions. Fields beyond these are ignored."""

    model: Filled = Field(description="Name of a served run of dialogues; GET /v1/models lists them.")
    messages: list[Message] = Field(
        min_length=1, max_length=MOST_TURNS, description="What was said; only user and assistant messages are read."
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="0: the likeliest words; above: words are drawn. Left out: as the run does it."
    )
    top_p: float | None = Field(None, gt=0, le=1, description="Draw from the likeliest words of so much probability.")
    seed: int | None = Field(None, description="Of the drawn words.")
    n: int | None = Field(None, ge=1, description="How many replies.")
    max_tokens: int | None = Field(None, ge=1, description="Longest reply; the run's own limit holds, too.")
    max_completion_tokens: int | None = Field(None, ge=1, description="The same, and it wins.")
    stop: str | Annotated[list[Filled], Field(max_length=4)] | None = Field(
        None, description="A reply ends before the first of these texts."
    )
    stream: StrictBool | None = Field(None, description="Send the reply word by word, as server-sent events.")
    stream_options: StreamOptions | None = None

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or [])


MUST_BE = {
    "model": "the name of a model",
    "messages": f"a list of 1 to {MOST_TURNS} messages, each with a role and a content",
    "temperature": "a number from 0 to 2",
    "top_p": "a number above 0, at most 1",
    "seed": "a whole number",
    "n": "a number of at least 1",
    "max_tokens": "a number of at least 1",
    "max_completion_tokens": "a number of at least 1",
    "stop": "a text or a list of up to 4",
    "stream": "true or false",
    "stream_options": "an object",
}


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "s2s"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """Every reply that is not 200."""

    error: ErrorDetail


KEY_STATUS = 401
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}


def error(refusal: Refusal) -> dict[str, object]:
    """The body of an error."""
    status = KEY_STATUS if refusal.about_key else refusal.status
    kind = "server_error" if status >= 500 else KINDS.get(status, "invalid_request_error")
    code = refusal.code or CODES.get(status)
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}


def openai(service: Service) -> Dialect:
    """The dialect's routes over a service."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])
    started = int(time.time())

    @router.post(
        "/chat/completions",
        summary="Reply to what was said",
        response_model=ChatReply,
        responses={status: {"model": ErrorReply} for status in (400, 401, 404, 413, 415, 429, 500)},
        openapi_extra=request_body(ChatRequest, JSON),
    )
    async def chat(request: Request) -> Response:
        asked = await read_model(request, ChatRequest, limit=service.settings.max_body, must_be=MUST_BE)
        turns = [turn for message in asked.messages if (turn := message.turn())]
        await service.admit(request, bearer(request), turns)
        return await _answer(service, asked, turns)

    @router.get("/models", summary="The runs of dialogues")
    async def models(request: Request) -> Models:
        await service.admit(request, bearer(request))
        return Models(data=[Model(id=name, created=started) for name in service.speakers])

    @router.get(
        "/models/{name:path}",
        summary="One of them",
        responses={404: {"model": ErrorReply}, "default": {"model": ErrorReply}},
    )
    async def model(request: Request, name: str) -> Model:
        await service.admit(request, bearer(request))
        return Model(id=_find(service, name).name, created=started)

    return Dialect(prefix="/v1/", router=router, error=error, key_status=KEY_STATUS)


def bearer(request: Request) -> str | None:
    """The key that a client sent."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _find(service: Service, name: str) -> Speaker:
    if (speaker := service.speakers.get(name)) is not None:
        return speaker
    known = ", ".join(service.speakers) or "none"
    raise Refusal(
        404,
        f"The model {name[:80]!r} does not exist; runs of dialogues served here: {known}. Runs that translate are"
        " asked at /translate",
        code="model_not_found",
    )


async def _answer(service: Service, asked: ChatRequest, turns: Sequence[str]) -> Response:
    speaker = _find(service, asked.model)
    if not turns:
        raise Refusal(400, "Invalid request: messages hold nothing that a user or the assistant said")
    service.check_size(turns)
    count = asked.n or 1
    service.check_alternatives(count - 1)

    def talk() -> tuple[Sequence[Reply], int]:
        found = speaker.reply(
            turns,
            count=count,
            temperature=asked.temperature,
            top_p=asked.top_p,
            seed=None if asked.seed is None else abs(asked.seed) % 2**31,
            max_tokens=asked.limit(),
        )
        return found, speaker.tokens(turns)

    found, prompt = await service.work(talk)
    answer = _reply(asked, found, prompt)
    if asked.stream:
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return StreamingResponse(events(answer.model_dump(), usage=usage), media_type="text/event-stream")
    return JSONResponse(answer.model_dump())


def _reply(asked: ChatRequest, found: Sequence[Reply], prompt: int) -> ChatReply:
    written = sum(reply.tokens for reply in found)
    return ChatReply(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=asked.model,
        choices=[_choice(index, reply, asked.stops()) for index, reply in enumerate(found)],
        usage=Usage(prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written),
    )


def _choice(index: int, reply: Reply, stops: Sequence[str]) -> Choice:
    """A reply, cut before the first text that stops it."""
    places = [place for stop in stops if (place := reply.text.find(stop)) >= 0]
    if places:
        return Choice(index=index, message=AnswerMessage(content=reply.text[: min(places)]), finish_reason="stop")
    reason: Literal["stop", "length"] = "stop" if reply.finished else "length"
    return Choice(index=index, message=AnswerMessage(content=reply.text), finish_reason=reason)
