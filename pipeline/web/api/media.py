"""Pictures and clips of what happened, by the id of the happening alone."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from pipeline.core.clips import FAILED, Clip
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.events import clip_of, finder_of, found_event
from pipeline.web.events.files import LooksNoted, file_answer, smaller
from pipeline.web.problems import WebError
from pipeline.web.state import State

router = APIRouter(tags=["media"])
_MISSING: Final = "snapshot_missing"
_Watcher = Annotated[Visitor, needs(Permission.MEDIA)]
_looks = LooksNoted()


@router.get("/events/{event_id}/picture", response_class=Response)
def picture(
    visitor: _Watcher,
    state: State,
    request: Request,
    event_id: str,
    nth: Annotated[int, Query(ge=1, le=1000)] = 1,
    width: Annotated[int | None, Query(ge=40, le=1920)] = None,
    download: bool = False,
) -> Response:
    """The nth picture of a happening as a JPEG; with `width` a smaller one for a list."""
    one = found_event(finder_of(state, visitor), event_id)
    pictures = one.pictures
    if len(pictures) < nth:
        why = one.word(_MISSING) or "its rule keeps none, or no frame led to it"
        raise WebError(404, f"there is no such picture of this event: {why}")
    reference = pictures[nth - 1][1]
    content = state.media.read(reference)
    if content is None:
        raise WebError(404, "the picture is no longer there; what is old is deleted")
    if width is not None:
        content = smaller(content, width)
    action = "downloaded a picture" if download else "looked at a picture"
    _looks.note(state.journal, visitor, action, f"{one.camera} {one.id}")
    return file_answer(reference, content, request.headers, download=download)


@router.get("/events/{event_id}/clip", response_class=Response)
def clip(
    visitor: _Watcher,
    state: State,
    request: Request,
    event_id: str,
    part: Annotated[int, Query(ge=1, le=100)] = 1,
    download: bool = False,
) -> Response:
    """The clip of a happening as MP4, in the parts that a player asks for."""
    one = found_event(finder_of(state, visitor), event_id)
    if one.clip is None:
        why = one.word("clip_missing") or "its rule keeps none"
        raise WebError(404, f"there is no clip of this event: {why}")
    found = clip_of(state, one)
    files = [] if found is None else found.files
    if len(files) < part:
        raise WebError(404, f"there is no such clip of this event: {_why(found)}")
    reference = files[part - 1][0]
    content = state.media.read(reference)
    if content is None:
        raise WebError(404, "the clip is no longer there; what is old is deleted")
    action = "downloaded a clip" if download else "looked at a clip"
    _looks.note(state.journal, visitor, action, f"{one.camera} {one.id}")
    return file_answer(reference, content, request.headers, download=download)


def _why(found: Clip | None) -> str:
    if found is None:
        return "it was forgotten"
    if found.state == FAILED:
        return found.reason or "it could not be cut"
    return "it is ready some seconds after the event"
