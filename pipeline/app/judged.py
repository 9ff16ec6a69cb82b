"""How far files were judged before a sampler started, as the processors say."""

from collections.abc import Mapping

from connectors.sources.file import FileConfig
from pipeline.app.build import engines_of
from pipeline.app.deployment import Deployment
from pipeline.app.reports import reports_of
from pipeline.app.serving import Workplace
from pipeline.core.errors import QueueError
from pipeline.core.presence import Presence
from pipeline.processing.processor import LaneKey

# Processors that start together with the sampler are waited for. Without their word a file is
# played from its beginning, which costs time and changes nothing.
_PATIENCE_S = 10.0
_LOOK_S = 0.2


def known_judged(place: Workplace) -> Mapping[LaneKey, tuple[str, int]]:
    """Run and last job judged, by camera and engine, of what somebody judges now.

    Where there are files, waits for a while for somebody to say it about each of them.
    """
    clock = place.around.clock
    wanted = file_lanes(place.around.deployment)
    deadline = clock.monotonic() + _PATIENCE_S
    while True:
        said = _said(place.queues.presence)
        if said.keys() >= wanted or clock.monotonic() >= deadline:
            break
        if clock.wait(_LOOK_S, place.stop):
            break
    return {key: last for key, last in said.items() if last is not None}


def file_lanes(deployment: Deployment) -> frozenset[LaneKey]:
    """Camera and engine of everything that comes from a file."""
    return frozenset(
        (name, engine)
        for name, camera in deployment.cameras.items()
        if isinstance(camera.source, FileConfig)
        for engine in engines_of(camera)
    )


def _said(presence: Presence) -> dict[LaneKey, tuple[str, int] | None]:
    try:
        reports = reports_of(presence).values()
    except QueueError:
        return {}
    return {
        (camera, engine): last
        for report in reports
        for camera, engines in report.judged.items()
        for engine, last in engines.items()
    }
