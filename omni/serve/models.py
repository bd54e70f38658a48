"""``GET /v1/models``, ``/health`` and ``/metrics``."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from omni.serve.metrics import CONTENT_TYPE
from omni.serve.routes import answers
from omni.serve.server import Model, server_of

router = APIRouter()


class ModelCard(BaseModel):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    """``omni`` for a checkpoint, ``endpoint`` for a remote one."""


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(BaseModel):
    """That the server runs."""

    status: Literal["ok"] = "ok"


@router.get("/v1/models", responses=answers(ModelList))
async def list_models(request: Request) -> ModelList:
    """List the models."""
    models = server_of(request).models
    return ModelList(data=[_card(name, model) for name, model in models.items()])


@router.get("/v1/models/{model:path}", responses=answers(ModelCard))
async def retrieve_model(request: Request, model: str) -> ModelCard:
    """Describe one."""
    return _card(model, server_of(request).find(model))


def _card(name: str, model: Model) -> ModelCard:
    return ModelCard(id=name, created=model.created, owned_by=model.owner)


@router.get("/health")
async def health() -> Health:
    """Say that the server runs; needs no key."""
    return Health()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Any:
    """Counts and times for Prometheus."""
    return Response(server_of(request).metrics.text(), media_type=CONTENT_TYPE)
