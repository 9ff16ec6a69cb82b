"""Where a picture file ends, known from its own structure: JPEG, PNG, WebP and BMP.

Knows nothing of how pictures travel. A picture that is cut off has no end here, whatever follows
it, and what a picture holds inside, such as a preview of itself, is passed over.
"""

import re
from typing import Literal, Protocol

Bytes = bytes | bytearray
Verdict = Literal["open", "whole", "broken"]
Kind = Literal["mjpeg", "png", "webp", "bmp"]

START = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
"""How a picture begins that can be told from anything else; a WebP or BMP has but a size."""
LONGEST_START = 12

_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
# In scan data an FF is followed by 00 or a restart marker; anything below C0 is damage there.
_AFTER_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_FILL = re.compile(rb"\xff+")
# A picture has some tens, and some hundreds with a large colour profile.
_MOST_SEGMENTS = 4096


class Walk(Protocol):
    """Goes through one picture as far as its bytes have come."""

    kind: Kind
    end: int
    """Where it ends, once it is whole; where it breaks off, once it is broken."""
    skipped: list[tuple[int, int]]
    """Begin and end of what was passed over without a look."""

    def go(self, data: Bytes) -> Verdict:
        """Go on; `data` begins with the picture and is longer at each call."""
        ...


class JpegWalk:
    """From marker to marker, and through the scans to the marker after them."""

    kind: Kind = "mjpeg"

    def __init__(self) -> None:
        self.end = 0
        self.skipped: list[tuple[int, int]] = []
        self.next_begins = False
        """Whether it was cut off in its pixels, and another picture begins at `end`."""
        self._at = 2
        self._in_scan = False
        self._has_scan = False

    def go(self, data: Bytes) -> Verdict:
        """Go on; at the end of the scans comes another marker."""
        while True:
            if self._in_scan:
                found = _AFTER_SCAN.search(data, self._at)
                if found is None:
                    self._at = max(self._at, len(data) - 1)
                    return "open"
                self._at, self._in_scan = found.start(), False
            verdict = self._pass_marker(data)
            if verdict is not None:
                return verdict

    def _pass_marker(self, data: Bytes) -> Verdict | None:
        """Go past a marker and what belongs to it; the verdict where that is not possible."""
        filled = _FILL.match(data, self._at)
        if filled is None:
            return "open" if len(data) <= self._at else self._over("broken", self._at)
        self._at = filled.end() - 1
        if len(data) < self._at + 2:
            return "open"
        code = data[self._at + 1]
        if code == _EOI:
            return self._over("whole" if self._has_scan else "broken", self._at + 2)
        if code == _TEM:
            self._at += 2
            return None
        self.next_begins = code == _SOI and self._has_scan
        if code < 0xC0 or 0xD0 <= code <= _SOI or len(self.skipped) > _MOST_SEGMENTS:
            return self._over("broken", self._at)
        if len(data) < self._at + 4:
            return "open"
        end = self._at + 2 + int.from_bytes(data[self._at + 2 : self._at + 4])
        if end < self._at + 4:
            return self._over("broken", self._at)
        self.skipped.append((self._at + 4, end))
        self._at = end
        if code == _SOS:
            self._in_scan = self._has_scan = True
        return None

    def _over(self, verdict: Verdict, at: int) -> Verdict:
        self.end = at
        return verdict


class _PngWalk:
    """From chunk to chunk."""

    kind: Kind = "png"

    def __init__(self) -> None:
        self.end = 8
        self._ends_at = 0
        self.skipped: list[tuple[int, int]] = []

    def go(self, data: Bytes) -> Verdict:
        while not self._ends_at and len(data) >= self.end + 12:
            size = int.from_bytes(data[self.end : self.end + 4])
            name = bytes(data[self.end + 4 : self.end + 8])
            if size >= 1 << 31 or not name.isalpha() or len(self.skipped) > 1 << 20:
                return "broken"
            end = self.end + 12 + size
            if name == b"IEND":
                self._ends_at = end
                break
            self.skipped.append((self.end + 8, end))
            self.end = end
        if self._ends_at and len(data) >= self._ends_at:
            self.end = self._ends_at
            return "whole"
        return "open"


class _SizedWalk:
    """A picture whose head says how long it is."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.end = 0
        self.skipped: list[tuple[int, int]] = []

    def go(self, data: Bytes) -> Verdict:
        if not self.end:
            size = _riff_size(data) if self.kind == "webp" else _bmp_size(data)
            if size is None:
                return "open"
            if size <= 0:
                return "broken"
            self.end, self.skipped = size, [(LONGEST_START, size)]
        return "whole" if len(data) >= self.end else "open"


def _riff_size(data: Bytes) -> int | None:
    size = int.from_bytes(data[4:8], "little")
    return 8 + size + size % 2


def _bmp_size(data: Bytes) -> int | None:
    """From the sizes of the picture, as many writers leave the file's own at 0."""
    if len(data) < 54:
        return None

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "little", signed=True)

    pixels_at, width, height, bits = number(10), number(18), abs(number(22)), number(28, 2)
    if number(14) < 40 or width <= 0 or height == 0 or pixels_at < 54:
        return 0
    if number(30) in (0, 3):
        return pixels_at + height * ((width * bits + 31) // 32 * 4)
    return number(2)


def walk_of(data: Bytes) -> Walk | None:
    """The walk through the picture that begins here; None where none does."""
    if data.startswith(b"\xff\xd8\xff"):
        return JpegWalk()
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PngWalk()
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _SizedWalk("webp")
    return _SizedWalk("bmp") if data.startswith(b"BM") else None
