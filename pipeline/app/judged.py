"""How far files are judged, as the processors say."""

from collections.abc import Set as AbstractSet

from connectors.sources.file import FileConfig
from pipeline.app.build import engines_of
from pipeline.app.deployment import Deployment
from pipeline.app.replaying import Standing, Standings
from pipeline.app.reports import reports_of
from pipeline.app.serving import Workplace
from pipeline.core.errors import QueueError
from pipeline.core.presence import Presence
from pipeline.processing.processor import LaneKey

# Processors that start together with the sampler are waited for. Without their word a file is
# played from its beginning, which costs time and changes nothing.
_PATIENCE_S = 10.0
_LOOK_S = 0.2


def await_judges(place: Workplace) -> None:
    """Wait for a while until somebody says of each file how far it is judged."""
    clock = place.around.clock
    wanted = file_lanes(place.around.deployment)
    deadline = clock.monotonic() + _PATIENCE_S
    while not _known(place) >= wanted and clock.monotonic() < deadline:
        if clock.wait(_LOOK_S, place.stop):
            return


def standings_of(presence: Presence) -> Standings:
    """How far each camera is judged, by those who judge it now; raises QueueError."""
    return {
        (camera, engine): Standing(*point) if point is not None else None
        for report in reports_of(presence).values()
        for camera, engines in report.judged.items()
        for engine, point in engines.items()
    }


def file_lanes(deployment: Deployment) -> frozenset[LaneKey]:
    """Camera and engine of everything that comes from a file."""
    return frozenset(
        (name, engine)
        for name, camera in deployment.cameras.items()
        if isinstance(camera.source, FileConfig)
        for engine in engines_of(camera)
    )


def _known(place: Workplace) -> AbstractSet[LaneKey]:
    try:
        return standings_of(place.queues.presence).keys()
    except QueueError:
        return frozenset()
