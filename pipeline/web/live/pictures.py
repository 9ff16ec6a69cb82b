"""The last picture of a camera that was kept: no camera is opened for a page."""

import threading

import cv2
import numpy as np

from connectors.stores.files import FileMediaStore
from connectors.stores.sql import SqlStore
from pipeline.core.events import Event
from pipeline.core.store import EventFilter, Page
from pipeline.deployment.model import Deployment
from pipeline.sampling.masks import Masks

_EVENTS_LOOKED_AT = 200
_QUALITY = 80
# Decoding takes memory: so many at a time.
_AT_ONCE = threading.BoundedSemaphore(2)


def kept_picture(
    deployment: Deployment, store: SqlStore, media: FileMediaStore, camera: str
) -> tuple[bytes, float] | None:
    """The newest stored picture of a camera's events as JPEG, and when it was captured.

    The camera's present masks are filled in it. None where none was kept; raises StoreError.
    """
    for one in store.history.events(EventFilter(cameras=(camera,)), Page(_EVENTS_LOOKED_AT)):
        found = _of_event(deployment, media, one.event)
        if found is not None:
            return found
    return None


def event_picture(
    deployment: Deployment, store: SqlStore, media: FileMediaStore, camera: str, record_id: str
) -> tuple[bytes, float] | None:
    """The picture of one event of a camera, like `kept_picture`."""
    found = store.history.event(record_id)
    if found is None or found.event.camera != camera:
        return None
    return _of_event(deployment, media, found.event)


def _of_event(
    deployment: Deployment, media: FileMediaStore, event: Event
) -> tuple[bytes, float] | None:
    config = deployment.cameras.get(event.camera)
    if config is None:
        return None  # it was just taken out of the file, and its masks with it
    for reference in event.media:
        if not reference.endswith(".jpg") or not media.has(reference):
            continue
        with _AT_ONCE:
            pixels = cv2.imread(str(media.local(reference)), cv2.IMREAD_COLOR)
            if pixels is None:
                continue
            masks = Masks(config.sample.mask_polygons)
            shown = masks.fill(np.asarray(pixels, np.uint8))
            done, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if done:
            return data.tobytes(), event.at
    return None
