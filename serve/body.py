"""Read a request's body within a limit and check it against a model: JSON, URL-encoded or multipart form."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl

import python_multipart  # noqa: F401  (starlette loads it at the first multipart form; better to miss it at the start)
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from .refusal import Refusal

ModelT = TypeVar("ModelT", bound=BaseModel)

MOST_FIELDS = 100
SECONDS = 60  # for a body to arrive
PATIENCE = 4  # times the limit: what is read and thrown away, so that the client sees the answer and not a reset


class Upload(NamedTuple):
    """A file of a form, with the name that the client gave it."""

    name: str
    data: bytes


async def read_model(
    request: Request,
    model: type[ModelT],
    *,
    limit: int,
    must_be: Mapping[str, str],
    many: Collection[str] = (),
    files: int = 0,
) -> ModelT:
    """The request's body as a `model`.

    Args:
        limit: bytes of the body.
        must_be: words for each field's type, for the error.
        many: fields that a form may give more than once, and that are lists.
        files: how many parts of a form may be an `Upload`.

    Raises:
        Refusal: 400 malformed or wrong, 413 more than `limit` bytes, 415 another content type.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _read(request, limit)
    try:
        if media_type == "application/json" or media_type.endswith("+json"):
            return model.model_validate_json(body)
        return model.model_validate(_fields(await _form(request, media_type, body, files), many))
    except ValidationError as error:
        raise Refusal(400, _explain(error, must_be)) from None


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    too_large = Refusal(413, f"Invalid request: the body is larger than {limit} bytes")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > PATIENCE * limit:
        raise too_large
    try:
        async with asyncio.timeout(SECONDS):
            body, size = await _received(request, limit)
    except TimeoutError:
        raise Refusal(408, f"The body did not arrive within {SECONDS} seconds") from None
    if size > limit:
        raise too_large
    return bytes(body)


async def _received(request: Request, limit: int) -> tuple[bytearray, int]:
    """The first `limit` bytes or fewer of a body, and its size as far as it was worth reading."""
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > PATIENCE * limit:
            break
        if size <= limit:
            body += chunk
    return body, size


async def _form(request: Request, media_type: str, body: bytes, files: int) -> list[tuple[str, str | Upload]]:
    match media_type:
        case "application/x-www-form-urlencoded":
            return _urlencoded(body)
        case "multipart/form-data":
            return await _multipart(request, body, files)
        case "" if not body:
            return []
        case _:
            raise Refusal(
                415, f"Unsupported content type: {media_type or 'none'}; send application/json or a form, in UTF-8"
            )


def _urlencoded(body: bytes) -> list[tuple[str, str | Upload]]:
    try:
        return [*parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)]
    except ValueError:  # UnicodeDecodeError is one too
        raise Refusal(400, "Invalid request: the form cannot be read; it must be URL-encoded UTF-8") from None


async def _multipart(request: Request, body: bytes, files: int) -> list[tuple[str, str | Upload]]:
    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, replay)
    # A file too many breaks the limit, and starlette turns that, like any malformed part, into a 400.
    try:
        async with again.form(max_files=files, max_fields=MOST_FIELDS, max_part_size=len(body) + 1) as form:
            return [
                (name, value if isinstance(value, str) else Upload(value.filename or "", await value.read()))
                for name, value in form.multi_items()
            ]
    except (UnicodeError, LookupError):  # LookupError: a charset that Python does not know
        raise Refusal(400, "Invalid request: the form cannot be read; it must be UTF-8") from None


def _fields(fields: Iterable[tuple[str, str | Upload]], many: Collection[str]) -> dict[str, object]:
    """A form as a dict. Other repeated fields are refused: to keep one of the values would lose text without a word."""
    form: dict[str, object] = {}
    lists: dict[str, list[str | Upload]] = {}
    for name, value in fields:
        if name in many:
            lists.setdefault(name, []).append(value)
        elif name in form:
            raise Refusal(400, f"Invalid request: {name[:40]} is given more than once; send a list as JSON")
        else:
            form[name] = value
    return {**form, **lists}


def _explain(error: ValidationError, must_be: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "json_invalid":
        return f"Invalid request: the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
    if not field:
        return "Invalid request: the body must be a JSON object"
    if first["type"] == "missing" or first["input"] in (None, "", []):
        return f"Invalid request: missing {field} parameter"
    return f"Invalid request: {field} must be {must_be[field]}"
