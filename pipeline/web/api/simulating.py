"""What an edit would have counted, from what was seen: the newest hour first."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from threading import Event as Flag
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import iterate_in_threadpool

from pipeline.core.errors import ConfigError
from pipeline.core.events import JsonValue
from pipeline.core.store import Span
from pipeline.insight.simulation import SimulatedHour
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.editing.editor import camera_file, edited
from pipeline.web.editing.parts import EditedParts, Name
from pipeline.web.problems import WebError
from pipeline.web.simulating.labels import labelled
from pipeline.web.simulating.limits import LimitMarks, simulated_limits
from pipeline.web.simulating.spans import LONGEST_S, observed_days
from pipeline.web.simulating.visits import VisitHistogram, simulated_visits
from pipeline.web.simulating.what_if import RUNNING, lines, simulation_of
from pipeline.web.state import State, WebState

router = APIRouter(tags=["simulating"])

NDJSON: Final = "application/x-ndjson"

Editor = Annotated[Visitor, needs(Permission.EDIT)]
Moment = Annotated[float, Field(ge=0, le=1e11)]


class SimulateRequest(EditedParts):
    """An edit, and for which time it is to be judged by."""

    camera: Annotated[str, Field(min_length=1, max_length=64)]
    since: Moment | None = None
    """UTC seconds; the last opening hours for which something was seen, where both are left out."""
    until: Moment | None = None
    only: list[Name] = Field([], max_length=50)
    """The rules that are looked at; all of the camera's where it is empty."""


class VisitsRequest(EditedParts):
    """An edit, and the rule whose visits are to be measured."""

    camera: Annotated[str, Field(min_length=1, max_length=64)]
    rule: Name
    since: Moment | None = None
    until: Moment | None = None


class LimitsRequest(VisitsRequest):
    """An edit, and the rule and field of which other limits are to be tried."""

    key: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z_]+$")]


class KnownDay(BaseModel):
    """The opening hours of a day for which something was seen."""

    day: str
    since: float
    until: float


class KnownSpans(BaseModel):
    """For which times an edit can be judged by what was seen."""

    days: list[KnownDay]
    """The newest first; the first one is the default."""
    timezone: str


@router.get("/edit/spans")
def known_spans(
    visitor: Editor, state: State, camera: Annotated[str, Query(min_length=1, max_length=64)]
) -> KnownSpans:
    """For which times it can be said what an edit would have counted."""
    days = _days(visitor, state, camera)
    if state.judges is not None and days:  # whoever asks is about to edit something
        span = Span(days[0].since, days[0].until)
        with suppress(WebError):
            state.judges.prepare(simulation_of(state, state.deployment, camera, (), span, Flag()))
    timezone = state.deployment.site_of(camera).timezone
    return KnownSpans(days=days, timezone=timezone)


@router.post(
    "/simulate",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}, "description": "A line for each hour."}},
)
def simulate(request: SimulateRequest, visitor: Editor, state: State) -> StreamingResponse:
    """What an edit would have counted: lines of JSON, `begin`, an `hour` each, and `end`.

    A last line, `truth`, says how right that is, where persons said what was right or wrong. A
    new request of the same visitor ends the one before.
    """
    since, until = _span(visitor, state, request.camera, request.since, request.until)
    now = camera_file(state.file, request.camera)
    result = edited(state.file, now, request)
    if result.loaded is None:
        raise ConfigError(list(result.problems))
    deployment = result.loaded.deployment
    key = (id(state.store), visitor.name)
    stop = RUNNING.begin(key)
    span = Span(since, until)

    def truth(hours: Sequence[SimulatedHour]) -> list[dict[str, JsonValue]]:
        wanted = deployment.cameras[request.camera]
        return [one.as_json() for one in labelled(state, request.camera, wanted, span, hours)]

    try:
        simulation = simulation_of(
            state, deployment, request.camera, tuple(request.only), span, stop
        )
    except BaseException:
        RUNNING.end(key, stop)
        raise
    zone = deployment.site_of(request.camera).timezone
    begin: dict[str, JsonValue] = {
        "camera": request.camera,
        "since": since,
        "until": until,
        "timezone": zone,
    }
    return StreamingResponse(
        _ending(lines(simulation, begin, zone, truth), key, stop),
        media_type=NDJSON,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post("/simulate/visits")
def visits(request: VisitsRequest, visitor: Editor, state: State) -> VisitHistogram:
    """How long visits lasted for a dwell or queue rule, so that a limit can be chosen."""
    since, until = _span(visitor, state, request.camera, request.since, request.until)
    now = camera_file(state.file, request.camera)
    key = (id(state.store), f"{visitor.name} visits")
    stop = RUNNING.begin(key)
    try:
        return simulated_visits(state, now, request, request.rule, Span(since, until), stop)
    finally:
        RUNNING.end(key, stop)


@router.post("/simulate/limits")
def limits(request: LimitsRequest, visitor: Editor, state: State) -> LimitMarks:
    """How many events a rule would have with other limits, so that one can be chosen."""
    since, until = _span(visitor, state, request.camera, request.since, request.until)
    now = camera_file(state.file, request.camera)
    key = (id(state.store), f"{visitor.name} limits")
    stop = RUNNING.begin(key)
    try:
        span = Span(since, until)
        return simulated_limits(state, now, request, request.rule, request.key, span, stop)
    finally:
        RUNNING.end(key, stop)


async def _ending(rows: Iterator[str], key: tuple[int, str], stop: Flag) -> AsyncIterator[str]:
    """The rows; whoever no longer listens ends what makes them."""
    try:
        async for row in iterate_in_threadpool(rows):
            yield row
    finally:
        RUNNING.end(key, stop)


def _days(visitor: Visitor, state: WebState, camera: str) -> list[KnownDay]:
    must_see(visitor, camera)
    deployment = state.deployment
    if camera not in deployment.cameras:
        raise WebError(404, f"there is no camera {camera!r}")
    hours = deployment.site_of(camera).opening_hours
    names = (camera, *deployment.cameras[camera].was)
    observed = state.store.observed()
    for name in names:
        found = observed_days(observed, name, hours)
        if found:
            return [KnownDay(day=one.day, since=one.since, until=one.until) for one in found]
    return []


def _span(
    visitor: Visitor, state: WebState, camera: str, since: float | None, until: float | None
) -> tuple[float, float]:
    """The time to be looked at; raises WebError where there is none, or it is too long."""
    days = _days(visitor, state, camera)
    if since is None and until is None:
        if not days:
            raise WebError(
                422,
                f"nothing is kept of what {camera} saw yet; once it was watched for a minute, an "
                "edit can be tried on it",
            )
        return days[0].since, days[0].until
    if since is None or until is None or until <= since:
        raise WebError(422, "`since` must be before `until`; give both or none", place="since")
    if until - since > LONGEST_S:
        raise WebError(422, "a day is the longest time that can be tried at once", place="since")
    return since, until
