"""The LibreTranslate dialect: /translate, /languages, /health; errors are {"error": "..."}.

The contract as clients see it; texts of errors are the ones that they know, where they know one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, Field

from .body import read_model
from .dialect import Dialect
from .directions import AUTO
from .languages import language_name
from .refusal import Refusal
from .service import Service

Filled = Annotated[str, Field(min_length=1)]


def _count(value: object) -> object:
    """Forms send "" for a field left open; `true` is no number, though Python says so."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return 0 if value in (None, "") else value


class TranslateRequest(BaseModel):
    """The body of POST /translate, as JSON or as a form. Fields beyond these are ignored."""

    q: Filled | Annotated[list[str], Field(min_length=1)] = Field(description="A text, or (in JSON) a list of texts.")
    source: Filled = Field(description=f"Language code of the text, or `{AUTO}`.", examples=["en"])
    target: Filled = Field(description="Language code to translate to.", examples=["de"])
    format: Annotated[str, BeforeValidator(lambda value: "text" if value in (None, "") else value)] = Field(
        default="text", description="`text`; `html` is refused as long as markup would be damaged."
    )
    alternatives: Annotated[int, BeforeValidator(_count)] = Field(
        default=0, ge=0, le=10_000, description="How many further translations to give, where the model finds as many."
    )


MUST_BE = {
    "q": "a text or a list of texts",
    "source": "a language code",
    "target": "a language code",
    "format": "text",
    "alternatives": "a number from 0 to 10000",
}


class DetectedLanguage(BaseModel):
    """The source that was used for `auto`. Nothing looks at the text yet, so confidence is 0: assumed, not detected."""

    confidence: float
    language: str


class TranslateReply(BaseModel):
    """For one text each field is a single value, for a list of texts each is a list in the same order."""

    translated_text: str | list[str] = Field(serialization_alias="translatedText")
    detected_language: DetectedLanguage | list[DetectedLanguage] | None = Field(
        default=None, serialization_alias="detectedLanguage", description="Only when source is `auto`."
    )
    alternatives: list[str] | list[list[str]] | None = Field(
        default=None, description="Only when asked for; best first, equal ones left out."
    )


class Language(BaseModel):
    code: str
    name: str
    targets: list[str]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Error(BaseModel):
    """Every reply that is not 200."""

    error: str


def error(status: int, message: str) -> dict[str, object]:  # noqa: ARG001  (other dialects put the status in the body)
    """The body of an error."""
    return {"error": message}


def libretranslate(service: Service) -> Dialect:
    """The dialect's routes over a service; it owns every path that no other dialect claims."""
    router = APIRouter(tags=["LibreTranslate"])

    @router.post(
        "/translate",
        summary="Translate a text or a list of texts",
        response_model_exclude_none=True,
        responses={status: {"model": Error} for status in (400, 413, 415, 500)},
        openapi_extra={"requestBody": _request_body()},
    )
    async def translate(request: Request) -> TranslateReply:
        asked = await read_model(request, TranslateRequest, limit=service.settings.max_body, must_be=MUST_BE)
        return await _answer(service, asked)

    @router.get("/languages", summary="The source languages, each with its targets")
    async def languages() -> list[Language]:
        sources = service.directions.sources()
        return [Language(code=code, name=language_name(code), targets=targets) for code, targets in sources.items()]

    @router.get("/health", summary="Whether the server answers")
    async def health() -> Health:
        return Health()

    return Dialect(prefix="", router=router, error=error)


async def _answer(service: Service, asked: TranslateRequest) -> TranslateReply:
    """Check what only the server can know (codes, limits), then translate."""
    if asked.format == "html":
        raise Refusal(400, "html format is not supported yet, its markup would be damaged; send text")
    if asked.format != "text":
        raise Refusal(400, f"{asked.format[:40]} format is not supported")
    direction = service.directions.find(asked.source, asked.target)
    texts = [asked.q] if isinstance(asked.q, str) else asked.q
    service.check_size(texts)
    service.check_alternatives(asked.alternatives)
    found = await service.translate(direction, texts, n_best=1 + asked.alternatives)
    columns: dict[str, list[Any]] = {"translated_text": [ranked[0] for ranked in found]}
    if direction.assumed:
        columns["detected_language"] = [DetectedLanguage(confidence=0.0, language=direction.source) for _ in texts]
    if asked.alternatives:
        columns["alternatives"] = [ranked[1:] for ranked in found]
    if isinstance(asked.q, str):
        return TranslateReply(**{key: column[0] for key, column in columns.items()})
    return TranslateReply(**columns)


def _request_body() -> dict[str, Any]:
    schema = TranslateRequest.model_json_schema()
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}
