"""The LibreTranslate dialect: /translate, /detect, /languages, /frontend/settings, /health, and files (`libre_files`).

Errors are {"error": "..."}.

The contract as clients see it; texts of errors are the ones that they know, where they know one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from .asking import Wish, answers_to
from .body import read_model
from .dialect import Dialect, Direct
from .directions import AUTO
from .languages import language_name
from .libre_files import SUFFIXES, add_file_routes
from .refusal import Refusal
from .schema import FORMS, JSON, request_body
from .service import Service

Filled = Annotated[str, Field(min_length=1)]
Glossary = dict[Annotated[str, Field(pattern=r"\S")], Annotated[str, Field(pattern=r"\S")]]
FORMATS = ("text", "html")
MOST_TERMS = 100


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
        default="text", description="`text`, or `html`, whose markup stays as it is."
    )
    alternatives: Annotated[int, BeforeValidator(_count)] = Field(
        default=0, ge=0, le=10_000, description="How many further translations to give, where the model finds as many."
    )
    glossary: Glossary | None = Field(
        default=None,
        max_length=MOST_TERMS,
        description="Terms of the source, each with the words that stand for it in translations; in JSON only.",
        examples=[{"Haus": "house"}],
    )
    api_key: str | None = Field(default=None, description="Where the server asks for one.")

    def texts(self) -> list[str]:
        return [self.q] if isinstance(self.q, str) else self.q


MUST_BE = {
    "q": "a text or a list of texts",
    "source": "a language code",
    "target": "a language code",
    "format": "text or html",
    "glossary": f"an object of up to {MOST_TERMS} terms and their translations, none blank",
    "alternatives": "a number from 0 to 10000",
    "api_key": "a text",
}

STATUSES = (400, 403, 413, 415, 429, 500, 503)


class DetectedLanguage(BaseModel):
    """The source that was taken for `auto`, in percent of certainty. 0: nothing to choose from, or nothing to go by."""

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


class DetectRequest(BaseModel):
    """The body of POST /detect, as JSON or as a form."""

    q: Filled = Field(description="A text.")
    api_key: str | None = Field(default=None, description="Where the server asks for one.")


class Language(BaseModel):
    code: str
    name: str
    targets: list[str]


class CodeName(BaseModel):
    code: str
    name: str


class FrontendSettings(BaseModel):
    """Names as this dialect has them. frontendTimeout: milliseconds that a page waits for the next letter."""

    apiKeys: bool
    charLimit: int
    filesTranslation: bool = True
    frontendTimeout: int = 500
    keyRequired: bool
    language: dict[Literal["source", "target"], CodeName]
    suggestions: bool = False
    supportedFilesFormat: list[str] = list(SUFFIXES)


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Error(BaseModel):
    """Every reply that is not 200."""

    error: str


def error(refusal: Refusal) -> dict[str, object]:
    """The body of an error."""
    return {"error": refusal.message}


def libretranslate(service: Service) -> Dialect:
    """The dialect's routes over a service; it owns every path that no other dialect claims."""
    router = APIRouter(tags=["LibreTranslate"])

    @router.post(
        "/translate",
        summary="Translate a text or a list of texts",
        response_model=TranslateReply,
        responses={status: {"model": Error} for status in STATUSES},
        openapi_extra=request_body(TranslateRequest, JSON, *FORMS),
    )
    async def translate(request: Request) -> Response:
        asked = await read_model(request, TranslateRequest, limit=service.settings.max_body, must_be=MUST_BE)
        service.check_size(asked.texts())
        await service.admit(request, asked.api_key, asked.texts())
        reply = await _answer(service, asked)
        return Response(reply.model_dump_json(by_alias=True, exclude_none=True), media_type=JSON)

    @router.post(
        "/detect",
        summary="The language of a text, among those that are served",
        responses={status: {"model": Error} for status in STATUSES},
        openapi_extra=request_body(DetectRequest, JSON, *FORMS),
    )
    async def detect(request: Request) -> list[DetectedLanguage]:
        asked = await read_model(
            request, DetectRequest, limit=service.settings.max_body, must_be={"q": "a text", "api_key": "a text"}
        )
        service.check_size([asked.q])
        await service.admit(request, asked.api_key, [asked.q])
        return await service.work(lambda: _guesses(service, asked.q))

    @router.get("/frontend/settings", summary="What pages that were made for this dialect ask for")
    async def frontend_settings() -> FrontendSettings:
        target = next(iter(service.directions.targets()), "en")
        keys = service.keys is not None
        return FrontendSettings(
            apiKeys=keys,
            keyRequired=keys,
            charLimit=service.settings.char_limit,
            language={
                "source": CodeName(code=AUTO, name="Auto Detect"),
                "target": CodeName(code=target, name=language_name(target)),
            },
        )

    @router.get("/languages", summary="The source languages, each with its targets")
    async def languages() -> list[Language]:
        sources = service.directions.sources()
        return [Language(code=code, name=language_name(code), targets=targets) for code, targets in sources.items()]

    @router.get("/health", summary="Whether the server answers")
    async def health() -> Health:
        return Health()

    add_file_routes(router, service, {status: {"model": Error} for status in STATUSES})
    return Dialect(prefix="", router=router, error=error, direct=(Direct("/translate", translate, methods=["POST"]),))


async def _answer(service: Service, asked: TranslateRequest) -> TranslateReply:
    """Translate, and shape the answers: single values for one text, lists for a list."""
    if asked.format not in FORMATS:
        raise Refusal(400, f"{asked.format[:40]} format is not supported")
    wish = Wish(
        asked.texts(),
        asked.source,
        asked.target,
        n_best=1 + asked.alternatives,
        glossary=asked.glossary,
        markup=asked.format == "html",
    )
    found = await answers_to(service, wish)
    columns: dict[str, list[Any]] = {"translated_text": [one.ranked[0] for one in found]}
    if asked.source == AUTO:
        columns["detected_language"] = [_detected(one.source, one.confidence or 0.0) for one in found]
    if asked.alternatives:
        columns["alternatives"] = [one.ranked[1:] for one in found]
    if isinstance(asked.q, str):
        return TranslateReply(**{key: column[0] for key, column in columns.items()})
    return TranslateReply(**columns)


def _detected(language: str, confidence: float) -> DetectedLanguage:
    return DetectedLanguage(confidence=round(100 * confidence, 1), language=language)


def _guesses(service: Service, text: str) -> list[DetectedLanguage]:
    """The served languages that a text may be in, the likeliest first; with nothing to go by, the first one at 0."""
    codes = service.directions.codes()
    if not codes:
        raise Refusal(400, "No languages are served")
    ranked = service.detector.rank(text, service.detector.known(codes))
    likely = [_detected(*guess) for guess in ranked]
    return [one for one in likely if one.confidence] or [_detected(codes[0], 0.0)]
