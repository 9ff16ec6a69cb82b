"""The periods that reports are about: a day, a week or a month of a site, and the one before."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pipeline.core.opening_hours import OpeningHours

PeriodKind = Literal["day", "week", "month"]
_WEEK = re.compile(r"(\d{4})-?[wW](\d{1,2})")
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole business days in a row."""

    kind: PeriodKind
    first: date
    after: date
    """The first day that is not part of it."""

    @property
    def days(self) -> tuple[date, ...]:
        """All of its days."""
        count = (self.after - self.first).days
        return tuple(self.first + timedelta(days=i) for i in range(count))

    @property
    def name(self) -> str:
        """How it is written in an option and in a file's name."""
        match self.kind:
            case "day":
                return self.first.isoformat()
            case "week":
                year, week, _ = self.first.isocalendar()
                return f"{year}-W{week:02}"
            case "month":
                return f"{self.first:%Y-%m}"

    @property
    def title(self) -> str:
        """Its name for readers."""
        match self.kind:
            case "day":
                return f"{_DAY_NAMES[self.first.weekday()]}, {_written(self.first)}"
            case "week":
                last = self.after - timedelta(days=1)
                week = self.first.isocalendar()[1]
                return f"Week {week}, {_written(self.first)} to {_written(last)}"
            case "month":
                return f"{self.first:%B %Y}"

    @property
    def before(self) -> "Period":
        """What it is compared with: the same weekday a week before, the week or month before."""
        if self.kind == "month":
            return Period("month", (self.first - timedelta(days=1)).replace(day=1), self.first)
        week = timedelta(days=7)
        return Period(self.kind, self.first - week, self.after - week)

    @property
    def before_name(self) -> str:
        """The words for what it is compared with."""
        match self.kind:
            case "day":
                return f"{_DAY_NAMES[self.first.weekday()]} before"
            case "week":
                return "week before"
            case "month":
                return "month before"

    def span(self, hours: OpeningHours) -> tuple[float, float]:
        """When it begins and ends, UTC seconds."""
        return hours.begins(self.first), hours.begins(self.after)

    def up_to(self, now: float, hours: OpeningHours) -> float:
        """Its end, or now in whole minutes while it runs."""
        return max(self.span(hours)[0], min(self.span(hours)[1], now // 60 * 60))

    def equally_far(self, until: float, hours: OpeningHours) -> float:
        """The moment of the period before that is as far in it as `until` is in this one.

        By the clock on the wall: Wednesday at 14:05 is compared up to Wednesday at 14:05.
        """
        before = self.before
        if until >= self.span(hours)[1]:
            return before.span(hours)[1]
        zone = ZoneInfo(hours.timezone)
        local = datetime.fromtimestamp(until, zone).replace(tzinfo=None)
        shifted = local - (
            datetime.combine(self.first, datetime.min.time())
            - datetime.combine(before.first, datetime.min.time())
        )
        return min(before.span(hours)[1], shifted.replace(tzinfo=zone).timestamp())


def period(kind: PeriodKind, text: str, now: float, hours: OpeningHours) -> Period:
    """What an operator wrote for a day, week or month, or `last` or `this`; raises ValueError."""
    word = text.strip().lower()
    today = hours.day_of(now)
    try:
        return _PERIODS[kind](word, today)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a {kind}; write {_WAYS[kind]}") from None


def _day(word: str, today: date) -> Period:
    ago = {"today": 0, "this": 0, "yesterday": 1, "last": 1}.get(word)
    first = date.fromisoformat(word) if ago is None else today - timedelta(days=ago)
    return Period("day", first, first + timedelta(days=1))


def _week(word: str, today: date) -> Period:
    first = today - timedelta(days=today.weekday() + (7 if word == "last" else 0))
    if word not in ("this", "last"):
        found = _WEEK.fullmatch(word)
        year, week = (int(found[1]), int(found[2])) if found else (0, 0)
        first = date.fromisocalendar(year, week, 1)
    return Period("week", first, first + timedelta(days=7))


def _month(word: str, today: date) -> Period:
    first = today.replace(day=1)
    if word == "last":
        first = (first - timedelta(days=1)).replace(day=1)
    elif word != "this":
        found = _MONTH.fullmatch(word)
        year, month = (int(found[1]), int(found[2])) if found else (0, 0)
        first = date(year, month, 1)
    return Period("month", first, (first + timedelta(days=32)).replace(day=1))


_PERIODS: Mapping[PeriodKind, Callable[[str, date], Period]] = {
    "day": _day,
    "week": _week,
    "month": _month,
}
_WAYS: Mapping[PeriodKind, str] = {
    "day": "2026-11-26, today or yesterday",
    "week": "2026-W47, this or last",
    "month": "2026-11, this or last",
}


def finished(kind: PeriodKind, now: float, hours: OpeningHours) -> Period:
    """The last period of a kind that is over."""
    return period(kind, "last", now, hours)


def day_name(day: date) -> str:
    """A day in a table."""
    return f"{_DAY_NAMES[day.weekday()][:3]} {day.day} {day:%b}"


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
