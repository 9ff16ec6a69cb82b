"""What the deployment is: its site, and its cameras with their lines, zones and rules."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from pipeline.core.machine import installed_version
from pipeline.core.store import EventFilter, Page
from pipeline.deployment.model import Deployment
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.sharing.opening import may_share
from pipeline.web.state import State, WebState

router = APIRouter(tags=["site"])


class CameraInfo(BaseModel):
    """A camera, as far as views need it."""

    name: str
    site: str
    timezone: str
    tasks: list[str]
    rules: dict[str, str]
    """The type of each rule."""


class SiteInfo(BaseModel):
    """The deployment, as far as a visitor may see it."""

    name: str
    timezone: str
    version: str
    """Of moonwatch."""
    now: float
    """UTC seconds by the server's clock."""
    recorded_until: float | None
    """Where all cameras are recordings: UTC seconds of their newest event, at which views end that
    otherwise end now."""
    cameras: list[CameraInfo]
    sinks: list[str]
    visitor: str
    role: str | None
    permissions: list[str]
    share_days: int | None
    """How many days a link to a picture or clip opens, at most; None for who can make none."""


@router.get("/site")
def site_info(visitor: Annotated[Visitor, needs(Permission.LOOK)], state: State) -> SiteInfo:
    """The site and what the visitor may see of it."""
    deployment = state.deployment
    cameras = [
        CameraInfo(
            name=name,
            site=deployment.site_of(name).name or "",
            timezone=deployment.site_of(name).timezone,
            tasks=list(deployment.cameras[name].tasks),
            rules={rule: config.type for rule, config in deployment.cameras[name].rules.items()},
        )
        for name in visitor.seen_of(deployment.cameras)
    ]
    share = deployment.web.share
    return SiteInfo(
        name=deployment.site.name or "",
        timezone=deployment.site.timezone,
        version=installed_version(),
        now=state.clock.now(),
        recorded_until=_recorded_until(state, deployment, [camera.name for camera in cameras]),
        cameras=cameras,
        sinks=list(deployment.sinks),
        visitor=visitor.name,
        role=visitor.role,
        permissions=sorted(visitor.permissions),
        share_days=None if share is None or not may_share(state, visitor) else share.days,
    )


def _recorded_until(state: WebState, deployment: Deployment, cameras: list[str]) -> float | None:
    configs = [deployment.cameras[name] for name in cameras]
    if not configs or any(config.source.type != "file" for config in configs):
        return None
    newest = state.store.history.events(EventFilter(cameras=tuple(cameras)), Page(limit=1))
    return newest[0].event.at if newest else None
