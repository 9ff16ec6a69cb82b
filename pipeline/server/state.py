"""What all routes share."""

from dataclasses import dataclass, field

from fastapi import Request

from pipeline.core.clock import Clock
from pipeline.inference.callers import Callers
from pipeline.server.config import ServeConfig
from pipeline.server.limits import KeyGate
from pipeline.server.pictures import PictureReader
from pipeline.server.work import WorkInHand
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ServerState:
    """What all routes share."""

    callers: Callers
    gate: KeyGate
    pictures: PictureReader
    settings: ServeConfig
    metrics: Metrics
    clock: Clock
    work: WorkInHand = field(default_factory=WorkInHand)


def state_of(request: Request) -> ServerState:
    """What the routes share, from any request."""
    state: ServerState = request.app.state.server
    return state
