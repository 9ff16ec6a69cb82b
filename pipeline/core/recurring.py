"""Moments that come again on a wall clock: daily, on a day of the week, on the first of a month.

A time that the clocks skip in spring is the moment of the change; one that they show twice in
autumn is the first of the two.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pipeline.core.opening_hours import DAYS, FULL_DAYS, OpeningHours

Every = Literal["day", "week", "month"]
_WRITTEN = re.compile(r"([a-z]+)\s+(\d{1,2}):(\d{2})")
_WAYS = "write `day 7:00`, `mon 7:00` (or another day of the week) or `month 7:00`, the first of it"
_LONGEST_DAYS = 33


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Once a day, week or month."""

    every: Every
    minutes: int
    """After midnight."""
    weekday: int = 0
    """Of a week: Monday is 0."""

    def latest(self, now: float, hours: OpeningHours) -> float:
        """The last of its moments that is not after `now`, in UTC seconds."""
        day = _local_day(now, hours) + timedelta(days=1)
        for _ in range(_LONGEST_DAYS):
            if self._has(day) and (at := hours.clock(day, self.minutes)) <= now:
                return at
            day -= timedelta(days=1)
        raise AssertionError("every month has a first day")

    def following(self, now: float, hours: OpeningHours) -> float:
        """The first of its moments after `now`, in UTC seconds."""
        day = _local_day(now, hours) - timedelta(days=1)
        for _ in range(_LONGEST_DAYS + 1):
            if self._has(day) and (at := hours.clock(day, self.minutes)) > now:
                return at
            day += timedelta(days=1)
        raise AssertionError("every month has a first day")

    def _has(self, day: date) -> bool:
        match self.every:
            case "day":
                return True
            case "week":
                return day.weekday() == self.weekday
            case "month":
                return day.day == 1


def recurrence(text: str) -> Recurrence:
    """What an operator wrote, such as `mon 7:00`; raises ValueError."""
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text[:40]!r} does not say when; {_WAYS}")
    word, minutes = found[1], int(found[2]) * 60 + int(found[3])
    if minutes >= 24 * 60 or int(found[3]) > 59:
        raise ValueError(f"{text[:40]!r} has no time of day; hours go from 0:00 to 23:59")
    if word in ("day", "daily"):
        return Recurrence("day", minutes)
    if word in ("month", "monthly"):
        return Recurrence("month", minutes)
    for number, names in enumerate(zip(DAYS, FULL_DAYS, strict=True)):
        if word in names:
            return Recurrence("week", minutes, number)
    raise ValueError(f"{text[:40]!r} does not say when: {word!r} is not a day; {_WAYS}")


def _local_day(at: float, hours: OpeningHours) -> date:
    return datetime.fromtimestamp(at, ZoneInfo(hours.timezone)).date()
