"""The page at /docs: Swagger UI over /openapi.json, with its script and style from here, so that it works offline."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'"
)
"""What the page may load: its own parts and the description, and nothing from elsewhere."""


def add_docs(app: FastAPI) -> None:
    """The page and what it loads."""

    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url="/docs/favicon.png",
        )
        page.headers["Content-Security-Policy"] = POLICY
        return page

    app.add_api_route("/docs", docs, include_in_schema=False)
    app.mount("/docs", StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static"))
