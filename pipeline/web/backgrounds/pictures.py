"""A picture of a camera, of now or of a moment of the past, with its masks filled."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.frames import Pixels
from pipeline.core.store import EventFilter, Page, Span
from pipeline.render.snapshot import CameraShot, shot_of
from pipeline.sampling.masks import Masks
from pipeline.web.problems import WebError
from pipeline.web.state import WebState

MOST_WIDTH = 1920
_QUALITY = 80
_NEAR_S = 1800.0
_EVENTS_LOOKED_AT = 200
_WAIT_S = 10.0
_at_once = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class Background:
    """A picture to draw on."""

    jpeg: bytes
    at: float
    """When it was captured, UTC seconds."""
    remark: str
    """Where it is from, where that is not a matter of course."""


def background(state: WebState, camera: str, at: float | None, width: int) -> Background:
    """The picture; raises WebError where there is none, SourceError where a camera gives none."""
    if not _at_once.acquire(timeout=_WAIT_S):
        raise WebError(503, "other pictures are being fetched; try again", retry_after_s=2.0)
    try:
        shot = _shot(state, camera, at)
    finally:
        _at_once.release()
    pixels = _scaled(shot.pixels, width)
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise WebError(500, "the picture cannot be written as JPEG")
    return Background(data.tobytes(), shot.at, shot.remark)


def _shot(state: WebState, camera: str, at: float | None) -> CameraShot:
    deployment = state.deployment
    config = deployment.cameras[camera]
    if at is None:
        return shot_of(deployment, camera, None)
    if config.source.is_recording:
        try:
            return shot_of(deployment, camera, datetime.fromtimestamp(at, UTC).isoformat())
        except ConfigError as error:
            raise WebError(404, error.problems[0].message, place="at") from None
    kept = _kept(state, camera, at)
    if kept is None:
        raise WebError(
            404,
            "no picture is kept of that time: pictures are kept of events of rules with "
            "`snapshot: true`, and of recordings",
            place="at",
        )
    pixels = Masks(config.sample.mask_polygons).fill(kept.pixels)
    return CameraShot(pixels, kept.at, kept.remark)


def _kept(state: WebState, camera: str, at: float) -> CameraShot | None:
    """The stored picture of an event that is nearest to a moment."""
    chosen = EventFilter(cameras=(camera,), span=Span(at - _NEAR_S, at + _NEAR_S))
    events = state.store.history.events(chosen, Page(_EVENTS_LOOKED_AT))
    for one in sorted(events, key=lambda event: abs(event.event.at - at)):
        for reference in one.event.media:
            if not reference.endswith(".jpg") or not state.media.has(reference):
                continue
            pixels = cv2.imread(str(state.media.local(reference)), cv2.IMREAD_COLOR_RGB)
            if pixels is not None:
                remark = "the kept picture of an event that is nearest to that time"
                return CameraShot(np.asarray(pixels, np.uint8), one.event.at, remark)
    return None


def _scaled(pixels: Pixels, width: int) -> Pixels:
    height, own = pixels.shape[:2]
    if own <= width:
        return pixels
    size = (width, max(1, round(height * width / own)))
    scaled: Pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return scaled
