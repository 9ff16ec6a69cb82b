"""An event's picture: the frame that triggered it, as a JPEG that tells of the subject's box."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np

from pipeline.core.errors import PictureRecordError, StoreError, UnreadablePictureError
from pipeline.core.events import Event
from pipeline.core.frames import Pixels
from pipeline.core.marked_pictures import JPEG_QUALITY, with_box
from pipeline.core.queues import PictureShelf
from pipeline.core.ranges import nearest_moment
from pipeline.core.store import MediaStore

logger = logging.getLogger(__name__)

MISSING = "snapshot_missing"
"""The key of an event's data that says why it has no picture although its rule asks for one."""
_NO_FRAME = "no frame led to this event"
_GONE = "the frame's picture was no longer kept when the event was judged"
_UNREADABLE = "the frame's picture was damaged"
_UNFIT = "no JPEG can hold the frame's picture"
_REFUSED = "the picture could not be stored"


class Snapshots:
    """Stores pictures of events. An event without one says why: gone, damaged or not stored."""

    def __init__(self, shelf: PictureShelf, media: MediaStore) -> None:
        self.shelf = shelf
        self._media = media
        self.trouble: str | None = None
        """Why pictures cannot be stored now."""
        self._said: set[tuple[str, str]] = set()

    def attach(self, event: Event) -> Event:
        """The event with a reference to its stored picture, or with the reason why it has none.

        Raises QueueError when the shelf is out of reach, and PictureRecordError when the store is.
        """
        if event.seq is None or event.run is None:
            return _without(event, _NO_FRAME)
        try:
            pixels = self.shelf.fetch(event.camera, event.run, event.seq)
        except UnreadablePictureError as error:
            # A retry does not help, and one picture must not stop the counts.
            self._say(event.camera, str(error))
            return _without(event, _UNREADABLE)
        if pixels is None:
            self._say(event.camera, _GONE)
            return _without(event, _GONE)
        reference = reference_of(event)
        try:
            picture = jpeg_of(pixels, event)
        except (ValueError, cv2.error) as error:
            logger.debug("a picture of camera %s: %s", event.camera, error)
            self._say(event.camera, _UNFIT)
            return _without(event, _UNFIT)
        try:
            self._media.put(reference, picture)
        except PictureRecordError:
            raise
        except StoreError as error:
            # A picture folder that is full or gone must not stop the counts.
            before, self.trouble = self.trouble, f"events are stored without pictures: {error}"
            if before is None:
                logger.error("%s", self.trouble)  # noqa: TRY400
            return _without(event, _REFUSED)
        if self.trouble is not None:
            logger.info("events have pictures again")
        self.trouble = None
        return event.with_media(reference)

    def _say(self, camera: str, reason: str) -> None:
        if (camera, reason) in self._said:
            return
        self._said.add((camera, reason))
        logger.warning(
            "an event of camera %s has no picture: %s; further ones say so, but are not logged",
            *(camera, reason),
            extra={"camera": camera},
        )


def _without(event: Event, reason: str) -> Event:
    return replace(event, data={**event.data, MISSING: reason})


def reference_of(event: Event) -> str:
    """Where an event's picture is stored: camera, day (UTC) and the record's id."""
    day = datetime.fromtimestamp(nearest_moment(event.at), UTC).strftime("%Y-%m-%d")
    return f"{event.camera}/{day}/{event.record_id}.jpg"


def jpeg_of(pixels: Pixels, event: Event) -> bytes:
    """The picture (H, W, 3) RGB as a JPEG, which says where the event's subject is."""
    height, width = pixels.shape[:2]
    picture = np.ascontiguousarray(pixels[:, :, ::-1])
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"a picture of {width}×{height} could not be written as JPEG")
    box = event.subject.box if event.subject else None
    return data.tobytes() if box is None else with_box(data.tobytes(), box)
