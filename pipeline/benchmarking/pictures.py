"""Pictures of the data sets, decoded as upstream's scripts see them."""

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112  # Exif's tag for how a camera was held
_AS_THEY_ARE = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


class PictureDataError(ValueError):
    """The bytes of a picture cannot be decoded."""


def decoded(encoded: bytes) -> "Image":
    """The picture in RGB, turned as its Exif data says; raises PictureDataError."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    # Pillow says SyntaxError, EOFError or struct.error for some files that are damaged.
    except Exception as error:
        raise PictureDataError(f"the picture cannot be decoded: {error}") from error


def data_uri(encoded: bytes) -> str:
    """The picture for a request: its own bytes, or a PNG where a server may see it otherwise."""
    from PIL import Image

    picture = decoded(encoded)  # a damaged one fails here as it does in this process
    with Image.open(io.BytesIO(encoded)) as stored:
        kind = _AS_THEY_ARE.get(stored.format or "")
        if kind is None or stored.getexif().get(_ORIENTATION, 1) != 1 or stored.mode != "RGB":
            buffer = io.BytesIO()
            picture.save(buffer, "PNG", compress_level=1)
            kind, encoded = "image/png", buffer.getvalue()
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"
