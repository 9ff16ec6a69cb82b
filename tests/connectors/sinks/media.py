"""Events with pictures and clips, and the files they refer to."""

from dataclasses import replace

import cv2
import numpy as np

from pipeline.core.events import Event, Subject
from pipeline.core.sinks import SinkContext
from pipeline.testing import ManualClock
from tests.contracts.event_tools import an_event

SITE = "Shop 12"


def jpeg(width: int, height: int, *, noisy: bool = False) -> bytes:
    """A picture."""
    rng = np.random.default_rng(1)
    pixels = (
        rng.integers(0, 255, (height, width, 3), np.uint8)
        if noisy
        else np.full((height, width, 3), 90, np.uint8)
    )
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def side_of(content: bytes) -> int:
    """The longer side of a picture."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return max(int(side) for side in pixels.shape[:2])


def with_media(number: int = 1) -> Event:
    """An event that has a picture, and a clip that may come."""
    event = an_event(number)
    return replace(
        event,
        subject=Subject("person", 7, (0.1, 0.2, 0.3, 0.4)),
        data={"line": "step", "direction": "in", "clip": {"reference": clip_name(number)}},
        media=(picture_name(number),),
    )


def picture_name(number: int = 1) -> str:
    """The reference of an event's picture."""
    return f"door/2023-11-14/{an_event(number).record_id}.jpg"


def clip_name(number: int = 1) -> str:
    """The reference of an event's clip."""
    return f"door/2023-11-14/{an_event(number).record_id}.mp4"


def context_with(files: dict[str, bytes], *, base: str | None = None) -> SinkContext:
    """A sink's context with these files; with `base`, something serves them there."""
    clock = ManualClock(an_event(1).at + 1)

    def link(reference: str) -> str | None:
        return None if base is None else f"{base}/{reference.rpartition('/')[2]}"

    return SinkContext(
        SITE, name="hook", timezone="Europe/Berlin", read=files.get, clock=clock, link=link
    )
