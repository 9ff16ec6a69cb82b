"""Moments as people write them on a command line or in an address."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from pipeline.core.config import parse_duration
from pipeline.core.ranges import is_moment

_DAYS_AGO = {"today": 0, "yesterday": 1}
_HOW = "write 2026-11-26, 2026-11-26T08:00, today, yesterday, or 2h for two hours ago"


def moment(text: str, now: float, zone: tzinfo = UTC) -> float:
    """UTC seconds of `2026-11-26`, `2026-11-26T08:00`, `yesterday` or `2h`; raises ValueError.

    A time without an offset is one of `zone`.
    """
    text = text.strip()
    if text.lower() in _DAYS_AGO:
        day = datetime.fromtimestamp(now, zone).date() - timedelta(days=_DAYS_AGO[text.lower()])
        return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    try:
        if re.match(r"\d+(\.\d+)?\s*[a-z]", text):
            ago: timedelta = parse_duration(text)
            at = now - ago.total_seconds()
        else:
            read = datetime.fromisoformat(text)
            at = (read if read.tzinfo is not None else read.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:64]!r} is not a moment; {_HOW}") from None
    if not is_moment(at):
        raise ValueError(f"{text[:64]!r} is not from 1900 to 2200; {_HOW}")
    return at
