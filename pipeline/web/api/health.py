"""How the deployment is."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.health.seeing import HealthAnswer, diagnostic, health_for, health_watch

router = APIRouter(tags=["health"])


@router.get("/health")
def health(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)], request: Request
) -> HealthAnswer:
    """What `moonwatch status` says, of what the visitor may see."""
    return health_for(health_watch(request).status(), visitor)


@router.get("/health/diagnostic", response_class=PlainTextResponse)
def health_diagnostic(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)], request: Request
) -> PlainTextResponse:
    """The same as a text without secrets, for whoever is to help."""
    return PlainTextResponse(diagnostic(health_for(health_watch(request).status(), visitor)))
