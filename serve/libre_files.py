"""Files of the LibreTranslate dialect: /translate_file takes one, /download_file/NAME gives its translation."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from .asking import Wish, answers_to
from .body import Upload, read_model
from .files import SECONDS, File, Shelf
from .refusal import Refusal
from .service import Service

SUFFIXES = {".txt": "text/plain; charset=utf-8", ".html": "text/html; charset=utf-8"}
MUST_BE = {"file": "a file", "source": "a language code", "target": "a language code", "api_key": "a text"}


class FileRequest(BaseModel):
    """The form of POST /translate_file."""

    file: Upload
    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    api_key: str | None = None


class FileReply(BaseModel):
    translatedFileUrl: str


def add_file_routes(router: APIRouter, service: Service, responses: dict[int | str, dict[str, Any]]) -> None:
    """Both routes; they share the files that wait to be fetched."""
    shelf = Shelf()

    @router.post(
        "/translate_file",
        summary=f"Translate a file ({', '.join(SUFFIXES)}, UTF-8)",
        responses=responses,
        openapi_extra=_request_body(),
    )
    async def translate_file(request: Request) -> FileReply:
        asked = await read_model(request, FileRequest, limit=service.settings.max_body, must_be=MUST_BE, files=1)
        suffix, text = _readable(asked.file)
        service.check_size([text])
        await service.admit(request, asked.api_key, [text])
        (found,) = await answers_to(service, Wish([text], asked.source, asked.target, markup=suffix == ".html"))
        name = shelf.put(File(found.ranked[0].encode(), SUFFIXES[suffix]), suffix)
        return FileReply(translatedFileUrl=f"{request.base_url}download_file/{name}")

    @router.get(
        "/download_file/{name}",
        summary=f"Fetch a translated file, within {SECONDS // 60} minutes",
        response_class=Response,
        responses={404: responses[400], "default": responses[400]},
    )
    async def download_file(name: str) -> Response:
        if (file := shelf.get(name)) is None:
            raise Refusal(404, "Not found: there is no such file, or it has gone")
        # An attachment: a page that somebody had translated must not run as a page of this server.
        return Response(file.data, media_type=file.media_type, headers={"Content-Disposition": "attachment"})


def _readable(file: Upload) -> tuple[str, str]:
    """Suffix and text of a file that can be translated."""
    suffix = PurePath(file.name).suffix.lower()
    if suffix not in SUFFIXES:
        raise Refusal(
            400, f"Invalid request: file must be one of {', '.join(SUFFIXES)}, got {suffix[:20] or 'no suffix'}"
        )
    try:
        return suffix, file.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(400, "Invalid request: file must be in UTF-8") from None


def _request_body() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    fields = {
        "file": {"type": "string", "format": "binary"},
        "source": text,
        "target": text,
        "api_key": {"type": "string"},
    }
    schema = {"type": "object", "required": ["file", "source", "target"], "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
