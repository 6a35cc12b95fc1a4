"""The page at /, and the files that it loads. They travel with the package, so it works offline."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",  # kept, and asked for anew each time: a newer server never meets an older page
}
"""The page loads its own files and answers of this server; no script or style stands within the page itself."""


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        reply = await super().get_response(path, scope)
        reply.headers.update(HEADERS)
        return reply


def add_page(app: FastAPI) -> None:
    """The page and what it loads."""
    files = _Files(directory=Path(__file__).parent / "page")

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", files)
