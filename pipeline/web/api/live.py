"""The live wall: pictures and what was made of them, over one WebSocket."""

import asyncio
import logging
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from pipeline.core.errors import MoonwatchError
from pipeline.core.live import NARROWEST, WIDEST
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.live.clients import FASTEST, MOST_SHOWN, LiveClient, ShowWish
from pipeline.web.live.facts import configured_fps
from pipeline.web.live.pictures import kept_picture
from pipeline.web.live.wall import LiveWall
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState, state_of

logger = logging.getLogger(__name__)
router = APIRouter(tags=["live"])

SIGNED_OUT: Final = 4401
MAY_NOT: Final = 4403
NOT_UNDERSTOOD: Final = 4400
FULL: Final = 1013
# How often it is asked whether the session still holds.
_ASK_AGAIN_S = 3.0
# A client that takes nothing for so long is let go.
_SEND_S = 20.0
_MOST_CHARACTERS = 16_384


class ShownCamera(BaseModel):
    """A camera that is to be shown."""

    camera: str = Field(max_length=200)
    width: int = Field(ge=1, le=10_000)
    """Pixels that its tile is wide."""
    fps: float = Field(default=2.0, gt=0.0, le=60.0)


class ShowMessage(BaseModel):
    """What a client sends whenever its layout or visibility changes: all that it shows then."""

    show: list[ShownCamera] = Field(max_length=MOST_SHOWN)


class WallLine(BaseModel):
    """A line of a camera, in fractions of the picture."""

    name: str
    start: tuple[float, float]
    end: tuple[float, float]
    """Its right-hand side, looking from `start` to `end`, is the `in` side."""


class WallZone(BaseModel):
    """A zone of a camera, in fractions of the picture."""

    name: str
    corners: list[tuple[float, float]]


class WallCameraInfo(BaseModel):
    """What a tile shows of a camera beside its pictures."""

    name: str
    lines: list[WallLine]
    zones: list[WallZone]
    offline_after: float
    """Seconds without a picture after which the camera counts as offline."""
    every: float | None
    """Seconds between two frames that the file asks for; None where that depends on the scene."""
    is_recording: bool


class WallInfo(BaseModel):
    """The cameras of the wall, and whether there are live pictures of them here."""

    why_not: str | None
    """Why there are no live pictures, in one sentence with the way out; None where there are."""
    cameras: list[WallCameraInfo]


@router.get("/live/cameras")
def live_cameras(visitor: Annotated[Visitor, needs(Permission.MEDIA)], state: State) -> WallInfo:
    """The cameras that a visitor may watch."""
    deployment = state.deployment
    cameras = []
    seen = visitor.seen_of(deployment.cameras)
    # Who asks is about to watch: what is made now need not be waited for then.
    wall_of(state).hub.expect(visitor, seen)
    for name in seen:
        camera = deployment.cameras[name]
        lines = {line: config.shape() for line, config in camera.lines.items()}
        zones = {zone: config.shape() for zone, config in camera.zones.items()}
        fps = configured_fps(camera)
        cameras.append(
            WallCameraInfo(
                name=name,
                lines=[WallLine(name=n, start=one.start, end=one.end) for n, one in lines.items()],
                zones=[WallZone(name=n, corners=[*one.corners]) for n, one in zones.items()],
                offline_after=camera.sample.offline_after.total_seconds(),
                every=None if fps is None else round(1 / fps, 3),
                is_recording=camera.source.is_recording,
            )
        )
    return WallInfo(why_not=wall_of(state).why_not(visitor), cameras=cameras)


@router.get(
    "/cameras/{camera}/picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def camera_picture(
    camera: str, visitor: Annotated[Visitor, needs(Permission.MEDIA)], state: State
) -> Response:
    """The last picture of a camera that was kept, masks filled; no camera is opened for it."""
    must_see(visitor, camera)
    if camera not in state.deployment.cameras:
        raise WebError(404, f"there is no camera {camera!r}")
    found = kept_picture(state.deployment, state.store, state.media, camera)
    if found is None:
        raise WebError(
            404, f"no picture of camera {camera!r} was kept; `snapshot: true` of a rule keeps some"
        )
    state.journal.note(visitor, "looked at a picture", camera, "the last that was kept")
    jpeg, at = found
    return Response(jpeg, media_type="image/jpeg", headers={"X-Captured-At": f"{at:.3f}"})


@router.websocket("/live")
async def live(socket: WebSocket, visitor: Annotated[Visitor, needs(Permission.MEDIA)]) -> None:
    """Send pictures and news for as long as the client listens and its session holds."""
    state = state_of(socket)
    await socket.accept()
    wall = wall_of(state)
    client = LiveClient(visitor, state.clock.now)
    if not wall.hub.join(client):
        await socket.close(FULL, "too many watch; close other pages of this application")
        return
    wall.start()
    tasks = [
        asyncio.create_task(_hear(socket, state, wall, client)),
        asyncio.create_task(_send(socket, client)),
        asyncio.create_task(_ask_again(socket, state, client)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code, reason = next(iter(done)).result()
        if code:
            with suppress(RuntimeError, WebSocketDisconnect):
                await asyncio.wait_for(socket.close(code, reason), _SEND_S)
    except TimeoutError:
        logger.debug("a client does not close its connection")
    finally:
        wall.hub.leave(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Closing = tuple[int, str]
"""The code and reason to close with; 0 where the client has closed."""
_CLOSED: Final[Closing] = (0, "")


async def _hear(socket: WebSocket, state: WebState, wall: LiveWall, client: LiveClient) -> Closing:
    noted: set[str] = set()
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError, KeyError):
            return _CLOSED
        if len(text) > _MOST_CHARACTERS:
            return NOT_UNDERSTOOD, "a message is too long"
        try:
            wanted = ShowMessage.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            return NOT_UNDERSTOOD, f"{place}: {first['msg']}"[:100]
        there = state.deployment.cameras
        wall.hub.show(
            client,
            {
                one.camera: ShowWish(min(max(one.width, NARROWEST), WIDEST), min(one.fps, FASTEST))
                for one in wanted.show
                if one.camera in there  # samplers are asked for nothing else
            },
        )
        await _note(state, client, noted)


async def _note(state: WebState, client: LiveClient, noted: set[str]) -> None:
    """Write down which cameras are shown that were not before; they are shown all the same."""
    new = sorted(client.show.keys() - noted)
    if not new:
        return
    try:
        await run_in_threadpool(
            state.journal.note, client.visitor, "looked at live pictures", ", ".join(new)
        )
    except MoonwatchError as error:
        logger.warning("that %s watches could not be written down: %s", client.visitor.name, error)
    else:
        noted.update(new)


async def _send(socket: WebSocket, client: LiveClient) -> Closing:
    while True:
        told = await client.next()
        try:
            sending = socket.send_bytes(told) if isinstance(told, bytes) else socket.send_text(told)
            await asyncio.wait_for(sending, _SEND_S)
        except (WebSocketDisconnect, RuntimeError, TimeoutError):
            return _CLOSED


async def _ask_again(socket: WebSocket, state: WebState, client: LiveClient) -> Closing:
    """Whether who watches may still do so, and see what he sees."""
    while True:
        await asyncio.sleep(_ASK_AGAIN_S)
        try:
            visitor = await run_in_threadpool(state.doors.visitor, socket)
        except MoonwatchError as error:
            logger.debug("who watches cannot be asked now: %s", error)
            continue
        except WebError as error:  # a proxy that now lets nobody in from these groups
            return MAY_NOT, error.message[:100]
        if visitor is None:
            return SIGNED_OUT, "sign in again"
        if not visitor.may(Permission.MEDIA):
            return MAY_NOT, "you may not see pictures"
        if visitor != client.visitor:
            client.visitor = visitor
            client.wants(client.show)


def wall_of(state: WebState) -> LiveWall:
    """The live part of the application; raises WebError where there is none."""
    if state.live is None:
        raise WebError(503, "the application shows nothing live")
    return state.live
