"""The routes that FastAPI serves itself: health and the list of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from server.api.calls import Catalogue
from server.auth.keys import KeyRing
from server.call import ServedModel

Ready = Callable[[], bool]


def health_routes(ready: Ready) -> APIRouter:
    """`ready` tells whether an engine can answer. Neither route needs a key or gives detail; monitors may use HEAD."""
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Alive")
    async def healthz() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="An engine can answer")
    async def readyz(response: Response) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        if ready():
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "unavailable"}

    return router


def model_routes(catalogue: Catalogue, keys: KeyRing) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="List models")
    async def models(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        key = await keys.identify(dict(request.scope["headers"]))
        served = [_model(model) for model in catalogue.models.values() if key.models is None or model.id in key.models]
        return {"object": "list", "data": served}

    @router.get("/v1/models/{model_id:path}", summary="Retrieve a model")
    async def model(model_id: str, request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        key = await keys.identify(dict(request.scope["headers"]))
        return _model(catalogue.find(model_id, key))

    return router


def _model(model: ServedModel) -> dict[str, Any]:
    """OpenAI's four fields, and what a person would want to know besides."""
    facts: dict[str, Any] = {"id": model.id, "object": "model", "created": model.created, "owned_by": "portico"}
    facts["aliases"] = list(model.config.aliases)
    facts["context_length"] = model.config.context_length
    facts["serves"] = list(model.config.serves)
    if model.config.description:
        facts["description"] = model.config.description
    return facts
