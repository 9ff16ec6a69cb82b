"""The picture and the clip of an event, as sinks send them: the event's own, and small enough."""

from dataclasses import dataclass, replace
from typing import Final

from connectors.sinks._templates import clip_reference, picture_reference
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import Event
from pipeline.core.sinks import SinkContext

JPEG: Final = "image/jpeg"
_LOOK_AGAIN_S = 0.25
# Of an event that happened longer ago than this, what is not there will not come any more.
_RECENT_S = 300.0
_QUALITIES = (85, 70, 55, 40)
_SMALLEST_SIDE = 160


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A picture or a clip."""

    name: str
    """Its name without folders, such as `5a1e….start.jpg`."""
    content: bytes
    media_type: str


def picture_of(
    event: Event,
    context: SinkContext,
    *,
    max_side: int = 1280,
    most_bytes: int = 1_000_000,
    wait_s: float = 2.0,
) -> MediaFile | None:
    """The event's picture as a JPEG, with the box of its subject on it; None where there is none.

    Waits up to `wait_s` for one that is not there yet. One that is too large is made smaller.
    """
    reference = picture_reference(event)
    content = None if reference is None else _awaited(reference, event, context, wait_s)
    if reference is None or content is None:
        return None
    fitting = _fitting(content, max_side, most_bytes)
    return None if fitting is None else MediaFile(_name(reference), fitting, JPEG)


def smaller(picture: MediaFile, max_side: int, most_bytes: int) -> MediaFile | None:
    """The same picture, smaller; None where there is none small enough."""
    fitting = _fitting(picture.content, max_side, most_bytes)
    return None if fitting is None else replace(picture, content=fitting)


def clip_of(
    event: Event,
    context: SinkContext,
    *,
    most_bytes: int = 20_000_000,
    wait_s: float = 0.0,
) -> MediaFile | None:
    """The event's clip, where it is there and not too large: usually it is written only later."""
    reference = clip_reference(event)
    content = None if reference is None else _awaited(reference, event, context, wait_s)
    if reference is None or content is None or len(content) > most_bytes:
        return None
    return MediaFile(_name(reference), content, "video/mp4")


def picture_note(event: Event, picture: MediaFile | None) -> str:
    """Why an event that should have a picture is sent without; empty where that is as wanted."""
    if picture is not None:
        return ""
    if picture_reference(event) is not None:
        return "the picture was not there in time, or could not be read"
    return str(event.data.get("snapshot_missing", ""))


def clip_note(event: Event, clip: MediaFile | None) -> str:
    """The same for its clip."""
    if clip is not None:
        return ""
    if clip_reference(event) is not None:
        return "the clip was not ready when this was sent, or is too large to be sent along"
    return str(event.data.get("clip_missing", ""))


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _awaited(reference: str, event: Event, context: SinkContext, wait_s: float) -> bytes | None:
    clock = context.clock
    if clock.now() - event.at > _RECENT_S:
        wait_s = 0.0
    until = clock.monotonic() + wait_s
    while True:
        try:
            content = context.read(reference)
        except (StoreError, SinkError):  # out of reach: it may be back in a moment
            content = None
        left = until - clock.monotonic()
        if content is not None or left <= 0:
            return content
        clock.wait(min(_LOOK_AGAIN_S, left))


def _fitting(content: bytes, max_side: int, most_bytes: int) -> bytes | None:
    """The picture, smaller if it has to be; None where it is none, or none is small enough."""
    import cv2
    import numpy as np

    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side and len(content) <= most_bytes:
        return content
    side = min(max_side, max(height, width))
    while side >= min(_SMALLEST_SIDE, max_side):
        share = side / max(height, width)
        size = (max(1, round(width * share)), max(1, round(height * share)))
        smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        for quality in _QUALITIES:
            done, data = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(data) <= most_bytes:
                return data.tobytes()
        side = side * 2 // 3
    return None
