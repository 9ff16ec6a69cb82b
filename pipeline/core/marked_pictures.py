"""Pictures that say where their subject is, and how that is drawn for those who only look.

The box is kept beside the picture, in a comment of the JPEG, not in its pixels: who asks a model
about the picture, or shows it with the box switched off, has it as the camera saw it.
"""

import re
from typing import Final

from pipeline.core.geometry import Box

JPEG_QUALITY: Final = 88
_BOX_RGB: Final = (255, 176, 0)
_BEGINNING: Final = b"\xff\xd8"
_COMMENT: Final = b"\xff\xfe"
_MARK: Final = b"moonwatch box "
_PLACE: Final = rb"(0|1|0\.\d{1,5})"
_PLACES: Final = re.compile(_MARK + b" ".join([_PLACE] * 4))


def with_box(jpeg: bytes, box: Box) -> bytes:
    """The JPEG with a comment that says where its subject is; x and y in 0..1."""
    places = " ".join(f"{min(1.0, max(0.0, place)):.5f}".rstrip("0").rstrip(".") for place in box)
    comment = _MARK + places.encode()
    length = (len(comment) + 2).to_bytes(2, "big")
    return _BEGINNING + _COMMENT + length + comment + jpeg.removeprefix(_BEGINNING)


def box_in(content: bytes) -> Box | None:
    """Where a picture says that its subject is; None for what says nothing, and for other files."""
    head = _BEGINNING + _COMMENT
    if not content.startswith(head):
        return None
    size = int.from_bytes(content[4:6], "big")
    found = _PLACES.fullmatch(content[6 : 4 + size])
    if found is None:
        return None
    left, top, right, bottom = (float(place) for place in found.groups())
    return left, top, right, bottom


def drawn(content: bytes) -> bytes:
    """A picture with the box that it tells of drawn into it; any other file as it is."""
    box = box_in(content)
    if box is None:
        return content
    import cv2
    import numpy as np

    canvas = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if canvas is None:
        return content
    height, width = canvas.shape[:2]
    first = (round(box[0] * width), round(box[1] * height))
    second = (round(box[2] * width), round(box[3] * height))
    cv2.rectangle(canvas, first, second, _BOX_RGB[::-1], max(2, round(height / 240)))
    done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes() if done else content
