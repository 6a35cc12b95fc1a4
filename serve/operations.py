"""The routes for operators: /ready and /metrics. They ask for no key; a proxy in front keeps them from the world."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from .metrics import CONTENT_TYPE
from .service import Service


def operations(service: Service) -> APIRouter:
    """The routes over a service."""
    router = APIRouter(tags=["Operations"])

    @router.get("/ready", summary="Whether requests are taken in (503 before the first answer and while it stops)")
    async def ready() -> JSONResponse:
        if service.draining or service.warming:
            return JSONResponse({"status": "draining" if service.draining else "starting"}, status_code=503)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE)

    return router
