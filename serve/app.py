"""Put together: the service, the dialects, one shape of error for each, and the server that listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .dialect import dialect_of
from .edge import Edge
from .libretranslate import libretranslate
from .listen import listen
from .protocols import Translation, Translator
from .refusal import Refusal
from .service import Service
from .settings import Settings

__all__ = ["Settings", "Translation", "Translator", "create_app", "run"]


def create_app(translators: Sequence[Translator], settings: Settings = Settings()) -> FastAPI:  # noqa: B008  (frozen)
    """The REST application over one or more runs. Raises UserError when two of them answer the same direction."""
    service = Service(translators, settings)
    dialects = (libretranslate(service),)
    app = FastAPI(title="s2s", version="1", summary="Translation by recurrent models", redirect_slashes=False)
    for dialect in dialects:
        app.include_router(dialect.router)

    def reply(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse(dialect_of(path, dialects).error(status, message), status_code=status, headers=headers)

    def on_refusal(request: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, Refusal)
        return reply(request.scope["path"], refusal.status, refusal.message)

    def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return reply(request.scope["path"], error.status_code, _wording(request, error), error.headers)

    def on_invalid(request: Request, _error: Exception) -> JSONResponse:
        return reply(request.scope["path"], 400, "Invalid request")

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_middleware(
        Edge,
        allow_origin=settings.allow_origin,
        failure=lambda path: reply(path, 500, "Internal server error; the server's log says more"),
    )
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
    translators: Sequence[Translator],
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    settings: Settings = Settings(),  # noqa: B008  (frozen)
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished. Standard error gets the URL, once it answers.

    Port 0 takes any free port; `on_ready` is called with the URL. A warning says when the host is not loopback.
    Raises UserError when the port is in use, or host or port are impossible.
    """
    listen(create_app(translators, settings), host=host, port=port, on_ready=on_ready)
