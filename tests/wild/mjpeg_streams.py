"""MJPEG streams as faulty cameras send them, made at random, with the pictures in them known."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

_BOUNDARY = b"frame"


@dataclass(slots=True)
class FaultyStream:
    """What one camera sends."""

    faults: tuple[str, ...]
    """What is wrong with it, as words of `FAULTS`."""
    content_type: str | None
    body: bytes
    whole: list[bytes] = field(default_factory=list)
    """The pictures that are whole, in order."""
    cut: int = 0
    """Pictures that lack a part."""

    def pieces(self, sizes: random.Random, longest: int) -> Iterator[bytes]:
        """The body, in pieces of up to so many bytes."""
        at = 0
        while at < len(self.body):
            size = sizes.randint(1, longest)
            yield self.body[at : at + size]
            at += size


LENGTHS: dict[str, Callable[[int, random.Random], bytes]] = {
    "length right": lambda n, _: b"Content-Length: %d" % n,
    "length absent": lambda _n, _: b"X-Nothing: 1",
    "length too large": lambda n, r: b"Content-Length: %d" % (n + r.choice([1, 500, 10**6])),
    "length too small": lambda n, r: b"Content-Length: %d" % r.choice([0, 1, n // 2, n - 1]),
    "length negative": lambda n, _: b"Content-Length: -%d" % n,
    "length not a number": lambda _n, r: (
        b"Content-Length: " + r.choice([b"", b"many", b"\xff\xd8"])
    ),
    "length repeated": lambda n, _: b"Content-Length: %d\r\nContent-Length: %d" % (n, n + 9),
    "length of 5000 digits": lambda _n, _: b"Content-Length: " + b"9" * 5000,
    "length in hex": lambda n, _: b"Content-Length: 0x%x" % n,
    "length with spaces": lambda n, _: b"Content-Length  :   %d   " % n,
}
# The line between the parts, and the content type that announces it.
SEPARATORS: dict[str, tuple[bytes, str | None]] = {
    "separator right": (b"--frame", "multipart/x-mixed-replace; boundary=frame"),
    "separator without dashes": (b"frame", "multipart/x-mixed-replace; boundary=frame"),
    "boundary with dashes": (b"--frame", "multipart/x-mixed-replace;boundary=--frame"),
    "dashes twice": (b"----frame", "multipart/x-mixed-replace;boundary=--frame"),
    "boundary quoted": (b"--frame", 'Multipart/X-Mixed-Replace; BOUNDARY="frame"'),
    "another boundary": (b"--frame", "multipart/x-mixed-replace; boundary=myboundary"),
    "no boundary announced": (b"--frame", "multipart/x-mixed-replace"),
    "no content type": (b"--frame", None),
    "type of one picture": (b"--frame", "image/jpg"),
    "type of bytes": (b"--frame", "application/octet-stream"),
    "type of text": (b"--frame", "text/plain; charset=utf-8"),
    "type multipart/mixed": (b"--frame", "multipart/mixed; boundary=frame"),
    "type of video": (b"--frame", "video/x-motion-jpeg"),
    "boundary with signs": (
        b"--==STILL==--",
        "multipart/x-mixed-replace; boundary = --==STILL==--",
    ),
    "boundary with spaces": (b"--a b;c", 'multipart/x-mixed-replace; boundary="a b;c"'),
    "boundary of dashes": (b"--", "multipart/x-mixed-replace; boundary="),
    "a short boundary": (b"e", "multipart/x-mixed-replace; boundary=e"),
    "no separators": (b"", "application/octet-stream"),
}
PADDINGS: dict[str, Callable[[random.Random], bytes]] = {
    "no padding": lambda _: b"",
    "zeros after": lambda r: bytes(r.choice([1, 511, 512, 4096, 9000])),
    "spaces after": lambda r: b" " * r.randint(1, 3000),
    "lines after": lambda r: b"\r\n" * r.randint(1, 2000),
    "zeros before": lambda r: b"",
    "garbage after": lambda r: bytes(r.choices(range(256), k=r.randint(1, 900))),
    "an old end after": lambda r: _old_end(r.randint(10, 300)),
}
_RUBBISH = ("garbage after", "an old end after")
HEADS = (
    "head right", "no head", "names in capitals", "names in small letters", "folded head",
    "another type of part",
)  # fmt: skip
LINE_ENDS = {"lines right": b"\r\n", "line feeds alone": b"\n", "two carriage returns": b"\r\r\n"}
BETWEEN = ("nothing between", "text between", "empty parts", "junk before")
CUTS = ("none cut", "some end early", "some begin late")
PICTURES = (
    "baseline", "progressive", "restart markers", "a preview inside", "the boundary inside",
    "a part inside", "markers inside", "filled markers", "png",
)  # fmt: skip
GROUPS: tuple[Sequence[str], ...] = (
    tuple(LENGTHS), tuple(SEPARATORS), tuple(PADDINGS), HEADS, tuple(LINE_ENDS), BETWEEN, CUTS,
    PICTURES,
)  # fmt: skip
FAULTS = tuple(fault for group in GROUPS for fault in group)


def faulty_stream(seed: int, *wanted: str, pictures: int = 6) -> FaultyStream:
    """A stream with these faults, and the others chosen at random: half of them none."""
    r = random.Random(seed)
    chosen = _chosen(wanted, r)
    length, separator, padding, head, ends, between, cuts, kind = chosen
    line, content_type = SEPARATORS[separator]
    stream = FaultyStream(tuple(chosen), content_type, b"")
    body = bytearray()
    end = LINE_ENDS[ends]
    for nth in range(pictures):
        picture = sample(kind, (seed + nth) % 4)
        sent = _cut(picture, cuts, r)
        body += line + end if line else b""
        if between == "text between" and line and r.random() < 0.5:
            body += b"Content-Type: text/plain" + end + end + b"still here" + end + line + end
        if between == "empty parts" and line and r.random() < 0.5:
            body += b"Content-Type: image/jpeg" + end + end + end + line + end
        if line and head != "no head":
            body += _head(head, LENGTHS[length](len(picture), r), end, r)
        if line:
            body += end
        if between == "junk before":
            body += b"\x07JUNK" + bytes(r.choices(range(1, 128), k=r.randint(1, 40)))
        if padding == "zeros before":
            body += bytes(r.randint(1, 600))
        # Behind a cut picture, its pixels would seem to go on.
        is_padded = len(sent) == len(picture) or padding not in _RUBBISH
        body += sent + (PADDINGS[padding](r) if is_padded else b"")
        body += end if line and r.random() < 0.9 else b""
        if len(sent) == len(picture):
            stream.whole.append(picture)
        else:
            stream.cut += 1
    body += line + b"--" + end
    stream.body = bytes(body)
    return stream


def _old_end(size: int) -> bytes:
    """What an earlier picture left in the camera's memory."""
    return sample("baseline", 3)[-size:]


def _cut(picture: bytes, cuts: str, r: random.Random) -> bytes:
    if cuts == "none cut" or r.random() < 0.5:
        return picture
    # As often in the head of the picture as in its pixels.
    at = r.randrange(1, len(picture) if r.random() < 0.5 else min(700, len(picture)))
    if picture.startswith(b"\xff\xd8\xff", at):
        at += 1  # what begins with a preview is only known for a rest once more has come
    return picture[:at] if cuts == "some end early" else picture[at:]


def _chosen(wanted: Sequence[str], r: random.Random) -> list[str]:
    """A word of each group, without what nothing could tell apart."""
    chosen = []
    for group in GROUPS:
        given = [fault for fault in wanted if fault in group]
        usual = group[0] if r.random() < 0.5 else r.choice(group)
        chosen.append(given[0] if given else usual)
    _, separator, padding, _, _, between, _, kind = chosen
    if separator == "no separators" or kind == "a part inside":
        # What is inside the rest of a picture, from a picture there.
        chosen[6] = "none cut"
    if separator == "no separators":
        chosen[5] = "nothing between"
        chosen[2] = padding if padding not in _RUBBISH else "no padding"
    if between == "junk before" and padding in _RUBBISH:
        # A picture between rubbish, from a preview in what is left of one.
        chosen[5] = "nothing between"
    return chosen


def _head(head: str, length: bytes, end: bytes, r: random.Random) -> bytes:
    kind = b"Content-Type: image/jpeg"
    if head == "another type of part":
        kind = b"Content-Type: " + r.choice([b"", b"image/jpg", b"text/html", b"application/x"])
    if head == "folded head":
        kind = kind.replace(b": ", b":" + end + b"   ")
        length = length.replace(b": ", b":" + end + b"\t", 1)
    text = kind + end + length + end
    if head == "names in capitals":
        return text.upper()
    return text.lower() if head == "names in small letters" else text


@cache
def sample(kind: str, nth: int) -> bytes:
    """A picture file of this kind; it shows noise, so that there is something of every byte."""
    rng = np.random.default_rng(nth)
    pixels = rng.integers(0, 255, (96 + 16 * nth, 128, 3), dtype=np.uint8)
    pixels = cv2.GaussianBlur(pixels, (5, 5), 0).astype(np.uint8)
    if kind in ("png", "webp"):
        return cv2.imencode(f".{kind}", pixels)[1].tobytes()
    options = {
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "restart markers": [cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
    }
    picture = cv2.imencode(".jpg", pixels, options.get(kind, []))[1].tobytes()
    small = cv2.imencode(".jpg", pixels[:32, :32])[1].tobytes()
    part = b"\r\n--" + _BOUNDARY + b"\r\nContent-Type: image/jpeg\r\n\r\n"
    inside = {
        "a preview inside": b"\xff\xe1" + _sized(b"Exif\0\0II*\0" + small + bytes(9)),
        "the boundary inside": b"\xff\xfe" + _sized(b"\r\n--frame\r\n frame --frame--\r\n"),
        "a part inside": b"\xff\xfe" + _sized(part + small + part),
        "markers inside": b"\xff\xef" + _sized(b"\xff\xd9\xff\xd8\xff\xd9\xff\xd8\xff\xe0" * 9),
        "filled markers": b"\xff\xff\xff\xfe" + _sized(b"filled") + b"\xff\xff\xff",
    }
    return picture[:2] + inside.get(kind, b"") + picture[2:]


def _sized(content: bytes) -> bytes:
    return (len(content) + 2).to_bytes(2, "big") + content
