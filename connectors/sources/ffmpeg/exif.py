"""What a camera wrote into a photo: which way up it is, and when it was taken."""

import struct
from dataclasses import dataclass
from datetime import datetime

_ORIENTATION, _EXIF_TABLE = 0x0112, 0x8769
_TAKEN_AT, _CHANGED_AT, _OFFSET, _PART_OF_SECOND = 0x9003, 0x0132, 0x9011, 0x9291
_SHORT, _LONG = 3, 4
# A table with more entries than any camera writes is damage.
_MOST_ENTRIES = 512


@dataclass(frozen=True, slots=True)
class Exif:
    """What was found; None for what was not."""

    orientation: int | None = None
    """1 to 8; 1 is upright."""
    taken_at: datetime | None = None
    """With a zone only where the camera wrote one."""


def read_exif(jpeg: bytes) -> Exif:
    """The Exif data of a JPEG; damage is the same as nothing."""
    try:
        tiff = _tiff_of(jpeg)
        if tiff is None:
            return Exif()
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
        if order is None:
            return Exif()
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        main = _table(tiff, order, first)
        inner = main.get(_EXIF_TABLE)
        more = _table(tiff, order, inner) if isinstance(inner, int) else {}
    except (struct.error, IndexError):
        return Exif()
    orientation = main.get(_ORIENTATION)
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = None
    return Exif(orientation, _time(main, more))


def _tiff_of(jpeg: bytes) -> bytes | None:
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        if jpeg[at + 1] == 0xE1 and jpeg[at + 4 : at + 10] == b"Exif\0\0":
            return jpeg[at + 10 : at + 2 + length]
        at += 2 + length
    return None


def _table(tiff: bytes, order: str, at: int) -> dict[int, int | str]:
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    found: dict[int, int | str] = {}
    for nth in range(min(entries, _MOST_ENTRIES)):
        place = at + 2 + 12 * nth
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, place)
        if kind == _SHORT:
            found[tag] = struct.unpack_from(order + "H", tiff, place + 8)[0]
        elif kind == _LONG:
            found[tag] = struct.unpack_from(order + "I", tiff, place + 8)[0]
        elif count <= 4:
            found[tag] = tiff[place + 8 : place + 8 + count].rstrip(b"\0").decode("latin-1")
        else:
            (start,) = struct.unpack_from(order + "I", tiff, place + 8)
            text = tiff[start : start + min(count, 64)]
            found[tag] = text.rstrip(b"\0").decode("latin-1")
    return found


def _time(main: dict[int, int | str], more: dict[int, int | str]) -> datetime | None:
    written = str(more.get(_TAKEN_AT) or main.get(_CHANGED_AT) or "")
    zone = str(more.get(_OFFSET) or "")
    part = "".join(filter(str.isdecimal, str(more.get(_PART_OF_SECOND) or "")))
    try:
        taken = datetime.strptime(written.strip(), "%Y:%m:%d %H:%M:%S")
        if zone.strip():
            taken = datetime.strptime(f"{written.strip()} {zone.strip()}", "%Y:%m:%d %H:%M:%S %z")
    except ValueError:
        return None
    return taken.replace(microsecond=int(part.ljust(6, "0")[:6])) if part else taken
