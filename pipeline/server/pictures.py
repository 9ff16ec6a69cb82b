"""From what a caller calls a picture to its pixels: data URIs, bare base64 and addresses.

What is wrong with a picture is the caller's to know, in a sentence; what it costs to find out is
bounded before anything is decoded.
"""

import asyncio
import base64
import binascii
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.server.fetching import Fetcher, PictureRefused

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 16_384
MOST_BYTES = 20_000_000
# A JPEG in many passes takes as many times its decoding time; cameras and editors write up to 20.
MOST_SCANS = 100
DECODE_S = 20.0
# A picture of the largest size takes 150 MB while it is decoded.
DECODED_AT_ONCE, WAITING_AT_MOST = 2, 64

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,40}:")
_DATA = re.compile(
    r"data:(?P<type>[^,;]{0,100})(?P<parameters>(;[^,;]{0,100}){0,8}),", re.IGNORECASE
)
_BLANKS = str.maketrans("", "", " \t\r\n")

Pixels: TypeAlias = NDArray[np.uint8]
_Worked = TypeVar("_Worked")


@dataclass(frozen=True, slots=True, eq=False)
class CallersPicture:
    """Pixels (H, W, 3) uint8 RGB, upright as its EXIF says, and how many bytes it came in."""

    pixels: Pixels
    bytes_in: int


class PictureReader:
    """Turns what callers send into pixels, a few pictures at a time.

    Every format's decoder is C that cannot be interrupted: so what may take long is refused by its
    header, and what takes long all the same costs its own request only.
    """

    def __init__(self, fetcher: Fetcher, most_bytes: int = MOST_BYTES) -> None:
        self._fetcher, self._most_bytes = fetcher, most_bytes
        self._threads = ThreadPoolExecutor(DECODED_AT_ONCE, "pictures")
        self._waiting = 0

    def close(self) -> None:
        """Let its threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, text: str, caller: str = "") -> CallersPicture:
        """Return the picture of a data URI, bare base64, or an http(s) address.

        Raises PictureRefused.
        """
        found = text.strip()
        if not found:
            raise PictureRefused("the picture is empty; send a data URI or an address")
        if found[:5].lower() == "data:":
            data = await self._apart(lambda: _of_data_uri(found, self._most_bytes))
        elif _SCHEME.match(found):
            scheme = found.partition(":")[0].lower()
            if scheme not in ("http", "https"):
                raise PictureRefused(
                    f"pictures are not read from {scheme[:20]}: addresses; send a data URI "
                    "(data:image/jpeg;base64,...) or an https address"
                )
            data = await self._fetcher.fetch(found, caller)
        else:
            data = await self._apart(lambda: _of_base64(found, self._most_bytes))
        return CallersPicture(await self._apart(lambda: decoded(data)), len(data))

    async def _apart(self, work: Callable[[], _Worked]) -> _Worked:
        if self._waiting >= WAITING_AT_MOST:
            raise _too_many()
        self._waiting += 1
        has_begun = threading.Event()

        def begun() -> _Worked:
            has_begun.set()
            return work()

        future = self._threads.submit(begun)
        loop = asyncio.get_running_loop()
        # Counted until the thread is free again, whether or not its caller still waits.
        future.add_done_callback(lambda _: _tell(loop, self._one_less))
        try:
            async with asyncio.timeout(DECODE_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not has_begun.is_set():
                raise _too_many() from None
            raise PictureRefused(
                f"the picture could not be decoded within {DECODE_S:g} s", "image_too_large"
            ) from None

    def _one_less(self) -> None:
        self._waiting -= 1


def _too_many() -> PictureRefused:
    return PictureRefused(
        "too many pictures wait to be decoded; try again in a moment",
        "image_fetch_failed",
        is_transient=True,
    )


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended with its server
        loop.call_soon_threadsafe(call)


def _of_data_uri(text: str, most_bytes: int) -> bytes:
    head = _DATA.match(text[:1200])
    if head is None:
        raise PictureRefused("the data URI has no comma; write data:image/jpeg;base64,...")
    parameters = [part.strip().lower() for part in head["parameters"].split(";")]
    if parameters[-1] != "base64":
        raise PictureRefused("the data URI is not base64; write data:image/jpeg;base64,...")
    kind = head["type"].strip().lower()
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        raise PictureRefused(f"the data URI is of type {kind[:40]!r}, not of a picture")
    return _of_base64(text[head.end() :], most_bytes)


def _of_base64(text: str, most_bytes: int) -> bytes:
    if len(text) > most_bytes * 4 // 3 + 8 + len(text) // 64:
        raise PictureRefused(f"the picture is larger than {most_bytes} bytes", "image_too_large")
    try:
        plain = text.translate(_BLANKS).encode("ascii")
        data = base64.b64decode(plain, validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise PictureRefused(
            "the picture is neither an address nor base64; send data:image/jpeg;base64,..."
        ) from None
    if len(data) > most_bytes:
        raise PictureRefused(f"the picture is larger than {most_bytes} bytes", "image_too_large")
    return data


def decoded(data: bytes) -> Pixels:
    """Return the pixels (H, W, 3) uint8 RGB of a file, upright; raises PictureRefused.

    Of an animated picture this is the first frame.
    """
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > MOST_SCANS:
        raise PictureRefused(
            f"the picture has more than {MOST_SCANS} scans; save it as an ordinary JPEG",
            "image_too_large",
        )
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        _check_size(*image.size)
        image.load()
        return _upright(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureRefused(
            f"the picture has more than {MOST_PIXELS} pixels", "image_too_large"
        ) from None
    except PictureRefused:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything about a damaged file
        logger.info("a caller's picture cannot be read: %s: %s", type(error).__name__, error)
        raise PictureRefused(
            "the picture cannot be read: it is damaged, or no JPEG, PNG, WebP, GIF or BMP"
        ) from None


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise PictureRefused(
            f"the picture has {width} x {height} pixels; at most {MOST_PIXELS} in all and "
            f"{LONGEST_SIDE} a side are read",
            "image_too_large",
        )


def _upright(image: Image.Image) -> Pixels:
    with suppress(Exception):  # damaged EXIF turns nothing
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = np.asarray(image, np.int64)
        image = Image.fromarray(np.clip(deep >> 8, 0, 255).astype(np.uint8))
    return np.asarray(image.convert("RGB"), np.uint8)
