"""The DeepL dialect: /v2/translate, /v2/languages, /v2/usage; errors are {"message": "..."}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, Field

from .asking import Wish, answers_to
from .body import read_model
from .dialect import Dialect
from .directions import AUTO, LONGEST_CODE
from .languages import language_name
from .refusal import Refusal
from .schema import FORMS, JSON, request_body
from .service import Service
from .usage import Usage

UNLIMITED = 10**12  # what DeepL says where there is no limit
LEFT_OPEN = ("", "default", "prefer_more", "prefer_less")  # of the formality


class TextRequest(BaseModel):
    """The body of POST /v2/translate, as JSON or as a form with `text` repeated. Fields beyond these are ignored."""

    text: Annotated[list[str], Field(min_length=1), BeforeValidator(lambda one: [one] if isinstance(one, str) else one)]
    target_lang: Annotated[str, Field(min_length=1, description="Language code, in capitals or not.", examples=["DE"])]
    source_lang: str | None = Field(None, description="Language code; left out: found out.", examples=["EN"])
    tag_handling: str | None = Field(None, description="`html` leaves markup as it is.")
    formality: str | None = Field(None, description="Only what leaves it to the model: `default`, `prefer_...`.")
    glossary_id: str | None = Field(None, description="Refused: no glossaries are kept here.")


MUST_BE = {
    "text": "a list of texts",
    "target_lang": "a language code",
    "source_lang": "a language code",
    "tag_handling": "a text",
    "formality": "a text",
    "glossary_id": "a text",
}


class Translated(BaseModel):
    detected_source_language: str
    text: str
    billed_characters: int


class TextReply(BaseModel):
    """In the order of the texts."""

    translations: list[Translated]


class DeepLLanguage(BaseModel):
    language: str
    name: str
    supports_formality: bool | None = Field(None, description="Of target languages.")


class LanguagesRequest(BaseModel):
    type: str = "source"


class UsageReply(BaseModel):
    """Characters that the caller (its key, or address) had translated since the server started."""

    character_count: int
    character_limit: int = UNLIMITED


class DeepLError(BaseModel):
    """Every reply that is not 200."""

    message: str


STATUSES = (400, 403, 413, 415, 429, 500, 503)
RESPONSES: dict[int | str, dict[str, Any]] = {status: {"model": DeepLError} for status in STATUSES}


def error(refusal: Refusal) -> dict[str, object]:
    """The body of an error."""
    return {"message": refusal.message}


def deepl(service: Service) -> Dialect:
    """The dialect's routes over a service."""
    router = APIRouter(prefix="/v2", tags=["DeepL"])
    usage = Usage()

    @router.post(
        "/translate",
        summary="Translate texts",
        responses=RESPONSES,
        openapi_extra=request_body(TextRequest, JSON, *FORMS),
    )
    async def translate(request: Request) -> TextReply:
        limit = service.settings.max_body
        asked = await read_model(request, TextRequest, limit=limit, must_be=MUST_BE, many=("text",))
        service.check_size(asked.text)
        caller = await service.admit(request, auth_key(request), asked.text)
        reply = await _answer(service, asked)
        usage.add(caller, sum(map(len, asked.text)))
        return reply

    @router.get(
        "/languages",
        summary="The source languages, or with type=target the target languages",
        response_model_exclude_none=True,
        responses=RESPONSES,
    )
    async def languages(request: Request) -> list[DeepLLanguage]:
        await service.admit(request, auth_key(request))
        asked = await read_model(
            request, LanguagesRequest, limit=service.settings.max_body, must_be={"type": "source or target"}
        )
        match request.query_params.get("type", asked.type):
            case "source":
                return [
                    DeepLLanguage(language=code.upper(), name=language_name(code))
                    for code in service.directions.sources()
                ]
            case "target":
                return [
                    DeepLLanguage(language=code.upper(), name=language_name(code), supports_formality=False)
                    for code in service.directions.targets()
                ]
            case _:
                raise Refusal(400, "Invalid request: type must be source or target")

    @router.get("/usage", summary="Characters that were translated", responses=RESPONSES)
    async def used(request: Request) -> UsageReply:
        caller = await service.admit(request, auth_key(request))
        return UsageReply(character_count=usage.of(caller))

    return Dialect(prefix="/v2/", router=router, error=error)


def auth_key(request: Request) -> str | None:
    """The key that a client sent."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "deepl-auth-key" else None


async def _answer(service: Service, asked: TextRequest) -> TextReply:
    _check_possible(asked)
    target = _code(asked.target_lang, service.directions.targets(), "target_lang")
    source = _code(asked.source_lang, service.directions.codes(), "source_lang") if asked.source_lang else AUTO
    found = await answers_to(service, Wish(asked.text, source, target, markup=asked.tag_handling == "html"))
    return TextReply(
        translations=[
            Translated(detected_source_language=one.source.upper(), text=one.ranked[0], billed_characters=len(text))
            for text, one in zip(asked.text, found, strict=True)
        ]
    )


def _check_possible(asked: TextRequest) -> None:
    """Refuse what would change the translation and can't be done here."""
    if asked.tag_handling not in (None, "", "html"):
        raise Refusal(400, f"Value for 'tag_handling' not supported: {asked.tag_handling[:40]}")
    if asked.glossary_id:
        raise Refusal(400, "Value for 'glossary_id' not supported: no glossaries are kept here")
    if asked.formality and asked.formality not in LEFT_OPEN:
        raise Refusal(400, f"Value for 'formality' not supported: {asked.formality[:40]}")


def _code(asked: str, codes: Iterable[str], field: str) -> str:
    """The runs' own spelling of a code; a country that no run names (EN-GB) is left out."""
    known = {code.lower(): code for code in codes}
    whole = asked.lower()
    base = whole.partition("-")[0]
    for spelling in (whole, base, *(code for code in known if code.partition("-")[0] == base)):
        if spelling in known:
            return known[spelling]
    available = ", ".join(code.upper() for code in known.values()) or "none"
    raise Refusal(400, f"Value for '{field}' not supported: {asked[:LONGEST_CODE]}; available: {available}")
