"""Times that recorders and cameras write into the names of files and folders."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import PurePath

# As many folders above a file as are looked at.
_DEPTH = 8
# A time of day and seconds since 1970 in one name mean the same moment in some time zone.
_ZONES_S = 15 * 3600.0


@dataclass(frozen=True, slots=True)
class NamedTime:
    """What a name says; `zone` is None where it is the local time of wherever the camera is."""

    written: datetime
    zone: tzinfo | None = None

    def moments(self, local: tzinfo) -> tuple[float, ...]:
        """UTC seconds: two where the clocks went back and the same time of day came twice."""
        zone = self.zone or local
        both = [self.written.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
        # Where the clocks went forward the two differ as well, but that time of day never was.
        return (both[0],) if both[1] <= both[0] else (both[0], both[1])


def time_in_name(path: str) -> NamedTime | None:
    """The beginning of a recording as its name, or the folders above it, say it."""
    parts = PurePath(path).parts
    name, tail = parts[-1], "/".join(parts[-_DEPTH:])
    said = next(_local(name, tail), None)
    counted = _epoch(name)
    if counted is None or (said is not None and said.zone is not None):
        return said
    if said is None:
        return NamedTime(counted, UTC)
    # Both: the seconds are the same moment without doubt about its zone, if they are that at all.
    apart = abs((said.written - counted).total_seconds())
    return NamedTime(counted, UTC) if apart <= _ZONES_S else said


_DATE = r"(?P<Y>20\d\d)(?P<s>[-_. ]?)(?P<m>0[1-9]|1[0-2])(?:(?P=s))?(?P<d>0[1-9]|[12]\d|3[01])"
_TIME = r"(?P<H>[01]\d|2[0-3])(?P<t>[-_.:hH ]?)(?P<M>[0-5]\d)(?:(?P=t)|[mM.:])?(?P<S>[0-5]\d)"
_PART = r"(?:[-.,]?(?P<f>\d{6}|\d{3}))?(?!\d)"
_ZONE = r"(?P<z>Z|[ _-]?(?:UTC|GMT)(?![+\-\d])|\+\d\d[:-]?\d\d|-\d\d:\d\d)?"
_IN_NAME = tuple(
    re.compile(pattern)
    for pattern in (
        # 20261126_120000, 2026-11-26T12:00:00Z, 2026-11-26_12-00-00-123456, 20261126120000
        rf"(?<!\d){_DATE}(?:[ T_.\-@]{{0,3}}| at ){_TIME}{_PART}{_ZONE}",
        # 2026-11-26 at 1.00.00 PM
        rf"(?<!\d){_DATE} at (?P<H>\d{{1,2}})[.:](?P<M>\d\d)[.:](?P<S>\d\d)\s?(?P<p>[AP]M)",
        # 11-26-2026, 12.00.00 GMT+1
        r"(?<!\d)(?P<m>\d{1,2})-(?P<d>\d{1,2})-(?P<Y>20\d\d)[, _]+(?P<H>\d{1,2})[.:_-](?P<M>\d\d)"
        r"[.:_-](?P<S>\d\d)(?:(?:\s?(?P<p>[AP]M))?\s?(?:GMT|UTC)(?P<z>[+-]\d{1,2}(?::?\d\d)?)"
        r"|\s?(?P<q>[AP]M))",
        # 26.11.2026_12.00.00; with other marks the day may be the month, unless it is above 12
        r"(?<!\d)(?P<d>0[1-9]|[12]\d|3[01])\.(?P<m>0[1-9]|1[0-2])\.(?P<Y>20\d\d)"
        rf"(?:[ T_.\-@]{{1,3}}| at ){_TIME}{_PART}",
        r"(?<!\d)(?P<d>1[3-9]|2\d|3[01])(?P<s>[-_ ])(?P<m>0[1-9]|1[0-2])(?P=s)(?P<Y>20\d\d)"
        rf"(?:[ T_.\-@]{{1,3}}| at ){_TIME}{_PART}",
        # A261126_120000_120030.264
        r"^[AP](?P<y>[1-9]\d)(?P<m>\d\d)(?P<d>\d\d)_(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)(?!\d)",
        # Year, month, day, hour, minute and second, each with its Chinese or Japanese word.
        r"(?P<Y>20\d\d)\u5e74(?P<m>\d\d?)\u6708(?P<d>\d\d?)\u65e5[ _-]?"
        r"(?P<H>\d\d?)[\u65f6\u6642\u70b9](?P<M>\d\d?)\u5206(?:(?P<S>\d\d?)\u79d2)?",
    )
)
_DAY = r"(?P<Y>20\d\d)[-_/]?(?P<m>\d\d)[-_/]?(?P<d>\d\d)"
_FRIGATE = re.compile(
    r"(?:^|/)(?P<Y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)/(?P<H>\d\d)/[^/]+/(?P<M>\d\d)\.(?P<S>\d\d)\.\w+$"
)
_IN_FOLDERS = tuple(
    re.compile(rf"(?:^|/){pattern}")
    for pattern in (
        # 2026-11/26/12/camera/05.00.mp4
        r"(?P<Y>20\d\d)-(?P<m>\d\d)/(?P<d>\d\d)/(?P<H>\d\d)/[^/]+/(?P<M>\d\d)\.(?P<S>\d\d)\.\w+$",
        # 2026-11-26/001/dav/12/12.00.00-12.05.00[M][0@0][0].dav
        rf"{_DAY}/(?:[^/]+/){{0,4}}(?:[^/]*?[^\d/])??(?P<H>\d\d)(?P<t>[-._:hH])(?P<M>\d\d)"
        r"(?:(?P=t)|[mM.:])(?P<S>\d\d)(?!\d)[^/]*$",
        # 2026/11/26/120000.mp4
        rf"{_DAY}/(?:[^/]+/){{0,4}}(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)(?!\d)[^/]*$",
        # 2026/11/26/12/05/00.mp4, 2026-11-26/12/0500.mp4
        rf"{_DAY}/(?P<H>\d\d)/(?P<M>\d\d)/?(?P<S>\d\d)(?!\d)[^/]*$",
        # 20261126/12/05.mp4
        rf"{_DAY}/(?P<H>\d\d)/(?P<M>\d\d)\.\w+$",
        # 2026Y11M26D12H/05M00S60.mp4, 2026112612/05M00S_1700000000.mp4
        r"(?P<Y>20\d\d)Y?(?P<m>\d\d)M?(?P<d>\d\d)D?(?P<H>\d\d)H?/(?:[^/]*[^\d/])?(?P<M>\d\d)M"
        r"(?P<S>\d\d)S[^/]*$",
        # 26/11/26/12/05/00/event.mp4
        r"(?P<y>[1-9]\d)/(?P<m>\d\d)/(?P<d>\d\d)/(?P<H>\d\d)/(?P<M>\d\d)/(?P<S>\d\d)/[^/]+$",
    )
)
_EPOCH = re.compile(r"(?<![\d.])(1\d{9})(?:(\d{3}|\d{6})|\.(\d{1,6}))?(?!\d)")
# Google's phones name by UTC what everybody else names by local time.
_UTC_NAME = re.compile(r"^PXL_")


def _local(name: str, tail: str) -> Iterator[NamedTime]:
    for pattern in _IN_NAME:
        for found in pattern.finditer(name):
            said = _named(found)
            if said is not None:
                yield NamedTime(said.written, UTC) if _UTC_NAME.match(name) else said
    frigate = _FRIGATE.search(tail)
    said = _named(frigate) if frigate else None
    if said is not None:
        yield NamedTime(said.written, UTC)
    for pattern in _IN_FOLDERS:
        found_in_tail = pattern.search(tail)
        said = _named(found_in_tail) if found_in_tail else None
        if said is not None:
            yield said


def _named(found: re.Match[str]) -> NamedTime | None:
    said = found.groupdict()
    hour = int(said["H"])
    half = said.get("p") or said.get("q")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "PM" else 0)
    year = int(said["Y"]) if said.get("Y") else 2000 + int(said["y"])
    micro = int((said.get("f") or "0").ljust(6, "0"))
    try:
        written = datetime(
            year,
            int(said["m"]),
            int(said["d"]),
            hour,
            int(said["M"]),
            int(said.get("S") or 0),
            micro,
        )
    except ValueError:
        return None
    return NamedTime(written, _offset(said.get("z")))


def _offset(written: str | None) -> tzinfo | None:
    if not written:
        return None
    if written == "Z" or written[-1] in "CT":
        return UTC
    digits = re.sub("[:-]", "", written[1:])
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    if hours > 14 or minutes > 59:
        return None
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if written[0] == "-" else away)


def _epoch(name: str) -> datetime | None:
    found = _EPOCH.search(name)
    if found is None:
        return None
    seconds, more, part = found.groups()
    micro = int((more or part or "0").ljust(6, "0"))
    counted = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=micro)
    return counted.replace(tzinfo=None)


_CODES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"\d\d?",
    "d": r"\d\d?",
    "H": r"\d\d?",
    "I": r"\d\d?",
    "M": r"\d\d?",
    "S": r"\d\d?",
    "f": r"\d{1,6}",
    "j": r"\d{3}",
    "b": r"[A-Za-z]{3}",
    "B": r"[A-Za-z]+",
    "p": r"[APap][Mm]",
    "z": r"Z|[+-]\d\d:?\d\d",
}
_DAYS = ({"m", "d"}, {"b", "d"}, {"B", "d"}, {"j"})


class NamePattern:
    """Where the time stands in names, in the letters of `strptime`."""

    def __init__(self, written: str) -> None:
        """Raises ValueError with a sentence for what is no pattern."""
        codes = re.findall(r"%(.)", written.replace("%%", ""))
        unknown = next((code for code in codes if code not in {*_CODES, "s"}), None)
        if unknown is not None:
            raise ValueError(
                f"%{unknown} is not known; use %Y %m %d %H %M %S, %f for a part of a second, "
                "%z for an offset, %s for seconds since 1970, and * for anything"
            )
        if len(set(codes)) < len(codes):
            raise ValueError("has a part of the time twice; write * for the second")
        has = set(codes)
        dated = has & {"Y", "y"} and any(day <= has for day in _DAYS)
        if "s" not in has and not (dated and has & {"H", "I"}):
            raise ValueError(
                f"{written!r} gives no full time; it needs a date and an hour, as in "
                "%Y-%m-%d_%H-%M-%S, or seconds since 1970, %s"
            )
        self._depth = written.count("/") + 1
        self._codes = codes
        pieces = re.split(r"(%.|\*)", written)
        self._pattern = re.compile("".join(map(_piece, pieces)))

    def time_of(self, path: str) -> NamedTime | None:
        """What the name says, or None if it is of another kind."""
        found = self._pattern.search("/".join(PurePath(path).parts[-self._depth :]))
        if found is None:
            return None
        said = found.groupdict()
        if "s" in said:
            counted = datetime.fromtimestamp(float(said["s"]), UTC)
            return NamedTime(counted.replace(tzinfo=None), UTC)
        text = " ".join(said[code] for code in self._codes)
        try:
            written = datetime.strptime(text, " ".join(f"%{code}" for code in self._codes))
        except ValueError:
            return None
        return NamedTime(written.replace(tzinfo=None), written.tzinfo)


def _piece(piece: str) -> str:
    if piece == "*":
        return "[^/]*?"
    if piece == "%%":
        return "%"
    if piece == "%s":
        return r"(?<!\d)(?P<s>\d{9,10}(?:\.\d+)?)"
    if len(piece) == 2 and piece[0] == "%":
        return f"(?P<{piece[1]}>{_CODES[piece[1]]})"
    return re.escape(piece)
