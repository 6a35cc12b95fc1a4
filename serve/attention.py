"""POST /attention: what a model looked at while it wrote a translation, line by line; the page at / shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from .body import read_model
from .libretranslate import Error
from .lines import BREAK, blank
from .protocols import Attention
from .refusal import Refusal
from .schema import JSON, request_body
from .service import Service

LONGEST = 2_000

Text = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class AttentionRequest(BaseModel):
    """The body of POST /attention."""

    q: Text = Field(description="A text.")
    translation: Text = Field(description="Its translation, with the same line breaks.")
    source: str = Field(min_length=1, description="Language code of the text.", examples=["en"])
    target: str = Field(min_length=1, description="Language code of the translation.", examples=["de"])
    api_key: str | None = Field(default=None, description="Where the server asks for one.")


MUST_BE = {
    "q": f"a text of at most {LONGEST} characters",
    "translation": f"a text of at most {LONGEST} characters",
    "source": "a language code",
    "target": "a language code",
    "api_key": "a text",
}


class SentenceAttention(BaseModel):
    """One row of weights a target word, one column a source word."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]


class AttentionReply(BaseModel):
    """What the model read at once, mostly lines, in order; those without anything to show (too long) are left out."""

    sentences: list[SentenceAttention]


def attention(service: Service) -> APIRouter:
    """The route over a service. Errors have the shape of LibreTranslate's dialect."""
    router = APIRouter(tags=["Page"])

    @router.post(
        "/attention",
        summary="What the model looked at while it wrote a translation",
        responses={status: {"model": Error} for status in (400, 403, 413, 415, 429, 500, 503)},
        openapi_extra=request_body(AttentionRequest, JSON),
    )
    async def attention(request: Request) -> AttentionReply:
        asked = await read_model(request, AttentionRequest, limit=service.settings.max_body, must_be=MUST_BE)
        service.check_size([asked.q])
        await service.admit(request, asked.api_key, [asked.q])
        translator = service.directions.find(asked.source, asked.target).translator
        pairs = pairs_of(asked.q, asked.translation)
        if translator is None:
            return AttentionReply(sentences=[])
        found = await service.work(lambda: [translator.attention(*pair) for pair in pairs])
        return AttentionReply(sentences=[_rounded(one) for own in found for one in own])

    return router


def pairs_of(text: str, translation: str) -> list[tuple[str, str]]:
    """The lines of a text with their translations, without blank ones.

    Raises Refusal (400) when the numbers of lines differ.
    """
    lines, written = BREAK.split(text)[::2], BREAK.split(translation)[::2]
    if len(lines) != len(written):
        raise Refusal(400, f"Invalid request: q has {len(lines)} lines and translation {len(written)}")
    return [pair for pair in zip(lines, written, strict=True) if not any(map(blank, pair))]


def _rounded(found: Attention) -> SentenceAttention:
    return SentenceAttention(
        source=list(found.source), target=list(found.target), weights=[_thousandths(row) for row in found.weights]
    )


def _thousandths(row: Sequence[float]) -> list[float]:
    return [round(weight, 3) for weight in row]
