"""Pictures and clips of happenings as files of HTTP, and smaller pictures for lists."""

import threading
import time
from collections.abc import Mapping
from http import HTTPStatus

import cv2
import numpy as np
from fastapi.responses import Response

from pipeline.delivery.media_pages import file_page
from pipeline.web.access.visitor import Visitor
from pipeline.web.state import Journal

_QUALITY = 80
_AGAIN_S = 600.0
_MOST_LOOKS = 10_000


def file_answer(
    reference: str, content: bytes, headers: Mapping[str, str], *, download: bool
) -> Response:
    """A file, whole, in part, or as what the browser has already."""
    given = {name.lower(): value for name, value in headers.items()}
    page = file_page(reference, content, given)
    # Whoever may no longer see it has nothing left of it after a while; a copy is asked about.
    own = {**page.headers, "Cache-Control": "private, no-cache"}
    if page.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        own["Cache-Control"] = "no-store"
    known = [tag.strip() for tag in given.get("if-none-match", "").split(",")]
    if "range" not in given and own.get("ETag") in known:
        kept = {name: own[name] for name in ("ETag", "Cache-Control")}
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept)
    if download and "Content-Disposition" in own:
        own["Content-Disposition"] = own["Content-Disposition"].replace("inline", "attachment", 1)
    return Response(page.body, page.status, own, media_type=page.kind)


def smaller(content: bytes, width: int) -> bytes:
    """A JPEG that is at most so wide; the same where it is no wider, or cannot be read."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape[1] <= width:
        return content
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes() if done else content


class LooksNoted:
    """Notes who looked at what, once in some minutes: a player asks for one clip in many parts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, str, str], float] = {}

    def note(self, journal: Journal, visitor: Visitor, action: str, subject: str) -> None:
        """Note it, unless it was noted just now."""
        key, now = (visitor.name, action, subject), time.monotonic()
        with self._lock:
            last = self._noted.get(key)
            if last is not None and now - last < _AGAIN_S:
                return
        # First, so that where it cannot be written down nothing is shown, also not the second time.
        journal.note(visitor, action, subject)
        with self._lock:
            if len(self._noted) >= _MOST_LOOKS:
                self._noted.clear()
            self._noted[key] = now
