"""Put together: the service, the dialects, one shape of error for each, and the server that listens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .attention import attention
from .deepl import deepl
from .dialect import dialect_of
from .docs import add_docs
from .edge import Edge
from .keys import Keys
from .libretranslate import libretranslate
from .listen import listen
from .log import logging_to_stderr
from .openai import openai
from .operations import operations
from .page import add_page
from .protocols import Run, Speaker, Translation, Translator
from .refusal import Refusal
from .service import Service
from .settings import Settings
from .traffic import Traffic

__all__ = ["Settings", "Speaker", "Translation", "Translator", "create_app", "run"]


def create_app(
    runs: Sequence[Run],
    settings: Settings = Settings(),  # noqa: B008  (frozen)
    *,
    keys: Path | None = None,
) -> FastAPI:
    """The REST application over one or more runs; with a file of keys (`s2s keys make`), for their holders alone.

    Raises UserError when two runs answer the same direction, or the file of keys cannot be used.
    """
    return application(Service(runs, settings, None if keys is None else Keys(keys)))


def application(service: Service) -> FastAPI:
    """The REST application over a service."""
    settings = service.settings
    dialects = (libretranslate(service), deepl(service), openai(service))
    app = FastAPI(
        title="s2s", version="1", summary="Translation by recurrent models", redirect_slashes=False, docs_url=None,
        redoc_url=None,
    )  # fmt: skip
    app.router.routes.extend(route for dialect in dialects for route in dialect.direct)
    app.include_router(operations(service))
    add_docs(app)
    add_page(app)
    app.include_router(attention(service))
    for dialect in dialects:
        app.include_router(dialect.router)

    def reply(path: str, refusal: Refusal, headers: Mapping[str, str] | None = None) -> JSONResponse:
        dialect = dialect_of(path, dialects)
        status = dialect.key_status if refusal.about_key else refusal.status
        return JSONResponse(dialect.error(refusal), status_code=status, headers=headers)

    def on_refusal(request: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, Refusal)
        wait = refusal.retry_after
        return reply(request.scope["path"], refusal, None if wait is None else {"Retry-After": str(math.ceil(wait))})

    def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return reply(request.scope["path"], Refusal(error.status_code, _wording(request, error)), error.headers)

    def on_invalid(request: Request, _error: Exception) -> JSONResponse:
        return reply(request.scope["path"], Refusal(400, "Invalid request"))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(
        Edge,
        allow_origin=settings.allow_origin,
        failure=lambda path: reply(path, Refusal(500, "Internal server error; the server's log says more")),
    )
    app.add_middleware(Traffic, metrics=service.metrics, with_texts=settings.log == "texts")  # the outermost
    return app


def _wording(request: Request, error: HTTPException) -> str:
    """The framework's own refusals in words that help."""
    path = request.scope["path"]  # not request.url, which believes the Host header
    match error.status_code:
        case 404:
            return f"Not found: {path}"
        case 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            return f"{request.method} is not allowed for {path}; use {allowed}"
        case _:
            return f"Invalid request: {error.detail}"


def run(
    runs: Sequence[Run],
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    settings: Settings = Settings(),  # noqa: B008  (frozen)
    keys: Path | None = None,
    again: Callable[[], Sequence[Run]] | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished, new ones refused. A second one ends it at once.

    Args:
        runs: what is served.
        host, port: where; port 0 takes any free one.
        settings: what is accepted; its own host and port are not read.
        keys: a file of keys (`s2s keys make`), for whose holders alone the server works.
        again: loads the runs anew, at SIGHUP; a UserError leaves those from before in their place.
        on_ready: is called with the URL. Standard error gets it too, once it answers.

    Raises:
        UserError: the port is in use, host or port are impossible, or the file of keys cannot be used.
    """
    service = Service(runs, settings, None if keys is None else Keys(keys))
    with logging_to_stderr(settings):
        listen(application(service), service, host=host, port=port, again=again, on_ready=on_ready)
