"""What the editor draws on: a picture of the camera, the paths of a time, and a heat map."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from pipeline.core.store import Span
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.backgrounds.pictures import MOST_WIDTH, background
from pipeline.web.backgrounds.walks import COLUMNS, MOST_POINTS, ROWS, Walks, walks
from pipeline.web.problems import WebError
from pipeline.web.simulating.spans import observed_days
from pipeline.web.state import State, WebState

router = APIRouter(tags=["backgrounds"])

_LONGEST_S = 25 * 3600.0
Moment = Annotated[float, Query(ge=0, le=1e11)]


class TrailOut(BaseModel):
    """The path of one track's feet."""

    track: int
    task: str
    points: list[tuple[float, float, float]]
    """UTC seconds, x and y in 0..1."""


class Trails(BaseModel):
    """The paths of a time."""

    since: float
    """From when on they are complete; what is older was left out where there was too much."""
    tracks: int
    """How many there were; those with the longest paths are among `trails`."""
    trails: list[TrailOut]


class HeatGridOut(BaseModel):
    """How long feet were where."""

    since: float
    columns: int
    rows: int
    seconds: list[float]
    """Row by row, from the upper left corner."""


@router.get("/cameras/{camera}/background", response_class=Response)
def camera_background(
    camera: str,
    visitor: Annotated[Visitor, needs(Permission.MEDIA)],
    state: State,
    at: Moment | None = None,
    width: Annotated[int, Query(ge=64, le=MOST_WIDTH)] = 1280,
) -> Response:
    """A picture of now, or of the past where one is kept: JPEG, with its masks filled."""
    _known(visitor, state, camera)
    found = background(state, camera, at, width)
    when = "now" if at is None else f"at {at:.0f}"
    state.journal.note(visitor, "looked at a picture", camera, when)
    # It may have the words of a library, which no header can hold as they are.
    remark = "".join(letter if letter.isprintable() else " " for letter in found.remark)
    headers = {
        "Cache-Control": "private, no-store",
        "X-Moonwatch-At": f"{found.at:.3f}",
        "X-Moonwatch-Remark": remark.encode("ascii", "replace").decode(),
    }
    return Response(found.jpeg, media_type="image/jpeg", headers=headers)


@router.get("/cameras/{camera}/trails")
def trails(
    camera: str,
    visitor: Annotated[Visitor, needs(Permission.LOOK)],
    state: State,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Trails:
    """The paths that were walked in a time, or on the last day that was seen; thinned."""
    found = _walks(visitor, state, camera, since, until)
    return Trails(
        since=found.since,
        tracks=found.tracks,
        trails=[
            TrailOut(track=one.track, task=one.task, points=one.thinned(MOST_POINTS))
            for one in found.trails
        ],
    )


@router.get("/cameras/{camera}/heat")
def heat(
    camera: str,
    visitor: Annotated[Visitor, needs(Permission.LOOK)],
    state: State,
    since: Moment | None = None,
    until: Moment | None = None,
) -> HeatGridOut:
    """How long feet were in each place in a time, or on the last day that was seen."""
    found = _walks(visitor, state, camera, since, until)
    cells = [
        round(found.seconds.get((column, row), 0.0), 2)
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    return HeatGridOut(since=found.since, columns=COLUMNS, rows=ROWS, seconds=cells)


def _known(visitor: Visitor, state: WebState, camera: str) -> None:
    must_see(visitor, camera)
    if camera not in state.deployment.cameras:
        raise WebError(404, f"there is no camera {camera!r}")


def _walks(
    visitor: Visitor, state: WebState, camera: str, since: float | None, until: float | None
) -> Walks:
    _known(visitor, state, camera)
    if since is None or until is None:
        hours = state.deployment.site_of(camera).opening_hours
        days = observed_days(state.store.observed(), camera, hours)
        if not days:
            return Walks((), {}, 0, state.clock.now())
        since, until = days[0].since, days[0].until
    if not since < until <= since + _LONGEST_S:
        raise WebError(422, "`until` is after `since`, by a day at most", place="until")
    with state.heavy.turn(visitor.name):
        return walks(state.store, camera, Span(since, until))
