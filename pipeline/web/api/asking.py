"""Ask a picture: any words about what a camera shows now, or about a kept picture of an event."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pipeline.runtime.questions import as_json
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.live import wall_of
from pipeline.web.live.asking import (
    LINE,
    AskedPicture,
    AskKind,
    as_base64,
    asked,
    asked_of,
    engine_for,
)
from pipeline.web.live.pictures import event_picture, kept_picture
from pipeline.web.problems import WebError
from pipeline.web.state import State

router = APIRouter(tags=["ask"])


class PictureQuestion(BaseModel):
    """A question about a picture."""

    camera: str = Field(max_length=200)
    kind: AskKind
    words: str = Field(min_length=1, max_length=300)
    """What to look for, in the singular; or the question."""
    run: str | None = Field(default=None, max_length=8192)
    seq: int | None = Field(default=None, ge=0)
    """The frame that is looked at, while the wall has it; otherwise the newest is taken."""
    event: str | None = Field(default=None, max_length=200)
    """The record id of an event, whose picture is asked about then."""


class PictureAnswer(BaseModel):
    """What an engine said about a picture."""

    camera: str
    captured_at: float
    run: str
    seq: int | None
    jpeg: str
    """The picture that was asked about, in base64."""
    engine: str
    took_s: float
    answer: dict[str, Any]
    """`boxes` or `points` in 0..1 with `scores`, `number`, `text`, or why it `failed`."""


@router.post("/ask")
def ask_picture(
    asking: PictureQuestion, visitor: Annotated[Visitor, needs(Permission.ASK)], state: State
) -> PictureAnswer:
    """Ask an engine of the deployment; waits for its answer, within a deadline."""
    must_see(visitor, asking.camera)
    deployment = state.deployment
    if asking.camera not in deployment.cameras:
        raise WebError(404, f"there is no camera {asking.camera!r}", place="camera")
    words = " ".join(asking.words.split())
    if not words:
        raise WebError(422, "say in words what to look for", place="words")
    wall = wall_of(state)
    asked_of(wall, visitor)
    task = engine_for(deployment, asking.camera, asking.kind, words)
    picture = _picture(asking, state)
    with LINE.turn(visitor.name):
        state.journal.note(visitor, "asked about a picture", asking.camera, words)
        said = asked(wall, visitor, state.clock, asking.camera, task, picture)
    answer = as_json(said.answer)
    return PictureAnswer(
        camera=asking.camera,
        captured_at=picture.captured_at,
        run=picture.run,
        seq=picture.seq,
        jpeg=as_base64(picture),
        engine=said.engine,
        took_s=round(said.took_s, 3),
        answer=answer if isinstance(answer, dict) else {},
    )


def _picture(asking: PictureQuestion, state: State) -> AskedPicture:
    """The frame that is looked at, else the newest, else the last that was kept."""
    if asking.event is not None:
        found = event_picture(
            state.deployment, state.store, state.media, asking.camera, asking.event
        )
        if found is None:
            raise WebError(404, "no picture of this event was kept", place="event")
        return AskedPicture(*found)
    hub = wall_of(state).hub
    frame = hub.frame(asking.camera, asking.run, asking.seq)
    if frame is not None:
        jpeg = frame.jpegs[max(frame.jpegs)][0]
        return AskedPicture(jpeg, frame.captured_at, frame.run, frame.seq)
    found = kept_picture(state.deployment, state.store, state.media, asking.camera)
    if found is None:
        raise WebError(
            404, f"there is no picture of camera {asking.camera!r} to ask about", place="camera"
        )
    return AskedPicture(*found)
