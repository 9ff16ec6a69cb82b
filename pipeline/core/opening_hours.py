"""When a site is open: hours of its wall clock by day of the week, dates and public holidays.

An opening time is one stretch of time: where the clocks go back, it lasts from the first time they
show its beginning to the last time they show its end; a beginning or end that the clocks skip in
spring is the moment of the change. What runs past midnight belongs to the day on which it began.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOSED, HOLIDAYS = "closed", "holidays"
_DAY_MINUTES = 24 * 60
FULL_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(?:-|\N{EN DASH})\s*(\d{1,2})(?::(\d{2}))?")
_YEARLY = re.compile(r"(\d{1,2})-(\d{1,2})")
_KEYS = 'a day such as mon, a range such as mon-fri, a date such as "2026-12-24" or holidays'
_VALUES = 'write it like "9:00-20:00", "9:00-12:00, 14:00-18:00" or closed'

Hours = tuple[tuple[int, int], ...]
"""Minutes after midnight of each opening and closing; a closing above 24:00 is on the next day."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A stretch of time for which a site is open, in UTC seconds; `until` does not belong to it."""

    day: date
    """The day on which it begins, whose business it is."""
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a site is open. Without any hours it is always open, and a day is a calendar day."""

    timezone: str = "UTC"
    week: Mapping[int, Hours] = field(default_factory=lambda: MappingProxyType({}))
    """By day of the week, Monday is 0; closed on those that are not there."""
    dates: Mapping[str, Hours] = field(default_factory=lambda: MappingProxyType({}))
    """By date, 2026-12-24, or by day of every year, 12-24; these win over everything else."""
    holidays: Hours = ()
    """On public holidays of the country, which is closed unless hours are given for them."""
    country: str = ""
    """ISO code whose public holidays count, such as DE, or DE-BY with its part; empty for none."""

    @property
    def are_known(self) -> bool:
        """Whether any hours are given."""
        return bool(self.week or self.dates or self.holidays)

    def hours_of(self, day: date) -> Hours:
        """The hours of one day; empty when closed. A date wins over a holiday, and that over the
        day of the week.
        """
        for key in (day.isoformat(), day.strftime("%m-%d")):
            if key in self.dates:
                return self.dates[key]
        if not self.are_known:
            return ((0, _DAY_MINUTES),)
        if self.holiday(day) is not None:
            return self.holidays
        return self.week.get(day.weekday(), ())

    def holiday(self, day: date) -> str | None:
        """The name of the public holiday on a day; None where there is none, or no country."""
        return _holidays_of(self.country, day.year).get(day) if self.country else None

    def openings(self, day: date) -> Iterator[Opening]:
        """The stretches of time that begin on a day."""
        for start, end in self.hours_of(day):
            since, until = self.clock(day, start), self.clock(day, end, last=True)
            if since < until:
                yield Opening(day, since, until)

    def is_open(self, at: float) -> bool:
        """Whether `at` (UTC seconds) lies in an opening."""
        if not self.are_known:
            return True
        day = self._local(at).date()
        around = (day, day - timedelta(days=1))
        return any(one.since <= at < one.until for near in around for one in self.openings(near))

    def begins(self, day: date) -> float:
        """When the business of a day begins: at midnight, or once that of the day before ends."""
        before = [one.until for one in self.openings(day - timedelta(days=1))]
        own = [one.since for one in self.openings(day)]
        begins = max([self.clock(day, 0), *before])
        return min([begins, *own]) if begins > self.clock(day, 0) else begins

    def day_of(self, at: float) -> date:
        """The day to whose business `at` belongs."""
        day = self._local(at).date()
        return day - timedelta(days=1) if at < self.begins(day) else day

    def open_seconds(self, since: float, until: float) -> float:
        """How many seconds of a period the site is open."""
        if not self.are_known:
            return until - since
        day, last = self._local(since).date() - timedelta(days=1), self._local(until).date()
        total = 0.0
        while day <= last:
            for one in self.openings(day):
                total += max(0.0, min(until, one.until) - max(since, one.since))
            day += timedelta(days=1)
        return total

    def clock(self, day: date, minutes: int, *, last: bool = False) -> float:
        """UTC seconds of the moment at which the clocks first show a time, or last."""
        midnight = datetime(day.year, day.month, day.day)
        return _wall(midnight + timedelta(minutes=minutes), self.timezone, last)

    def as_json(self) -> dict[str, Any]:
        """All of it in plain values, by which two of them can be compared and kept."""
        return {
            "timezone": self.timezone,
            "week": {str(day): _listed(hours) for day, hours in sorted(self.week.items())},
            "dates": {day: _listed(hours) for day, hours in sorted(self.dates.items())},
            "holidays": _listed(self.holidays),
            "country": self.country,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "OpeningHours":
        """What `as_json` wrote."""
        return cls(
            str(kept["timezone"]),
            {int(day): _tupled(hours) for day, hours in kept["week"].items()},
            {str(day): _tupled(hours) for day, hours in kept["dates"].items()},
            _tupled(kept["holidays"]),
            str(kept["country"]),
        )

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, ZoneInfo(self.timezone))


def opening_hours(
    written: Mapping[str, str], timezone: str = "UTC", country: str = ""
) -> OpeningHours:
    """The hours of a site as an operator writes them; raises ValueError."""
    week: dict[int, Hours] = {}
    dates: dict[str, Hours] = {}
    holidays: Hours = ()
    for key, value in written.items():
        named = read_key(key)
        try:
            hours = parse_hours(value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        match named:
            case _ if named == HOLIDAYS:
                holidays = hours
            case str() as day:
                dates[day] = hours
            case days:
                for number in days:
                    week[number] = hours
    return OpeningHours(timezone, week, dates, holidays, country)


def read_key(key: str) -> str | tuple[int, ...]:
    """What hours are given for: days of the week, a date, or holidays; raises ValueError."""
    text = str(key).strip().lower()
    if text in (HOLIDAYS, "holiday"):
        return HOLIDAYS
    yearly = _YEARLY.fullmatch(text)
    try:
        if yearly:  # 2024 has a 29th of February
            return date(2024, int(yearly[1]), int(yearly[2])).strftime("%m-%d")
        if text[:1].isdigit():
            return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{key!r} is not a date; write it like 2026-12-24, or 12-24") from None
    days: set[int] = set()
    for part in filter(None, re.split(r"[,\s]+", text)):
        first, dash, last = part.partition("-")
        start = _day(first, key)
        end = _day(last, key) if dash else start
        days.update((start + i) % 7 for i in range((end - start) % 7 + 1))
    if not days:
        raise ValueError(f"{key!r} is not a day; write {_KEYS}")
    return tuple(sorted(days))


def parse_hours(value: Any) -> Hours:
    """`9:00-20:00`, several of them, or `closed`; raises ValueError."""
    text = str(value).strip().lower()
    if text in (CLOSED, "false", "no"):  # as YAML 1.1 reads `no`
        return ()
    found: list[tuple[int, int]] = []
    for part in (part.strip() for part in re.split(r"[,;]", text) if part.strip()):
        match = _HOURS.fullmatch(part)
        if not match:
            raise ValueError(f"{str(value)[:64]!r} are not opening hours; {_VALUES}")
        start, end = (int(match[i]) * 60 + int(match[i + 1] or 0) for i in (1, 3))
        minutes = (int(match[2] or 0), int(match[4] or 0))
        if max(minutes) > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES or start == end:
            raise ValueError(
                f"{part!r} are not opening hours; a day goes from 0:00 to 24:00, and {_VALUES}"
            )
        found.append((start, end if end > start else end + _DAY_MINUTES))
    found.sort()
    for (_, end), (start, _) in pairwise(found):
        if start < end:
            raise ValueError(f"{str(value)[:64]!r} overlap; write each hour once")
    if not found:
        raise ValueError(f"no hours are written; {_VALUES}")
    return tuple(found)


def known_country(code: str) -> str:
    """A country's code, or one with its part, that `holidays` knows; raises ValueError."""
    country, _, part = code.strip().upper().partition("-")
    known = _package().list_supported_countries(include_aliases=True)
    if country not in known:
        raise ValueError(f"{code!r} is not a known country; write its ISO code, such as DE or US")
    if part and part not in known[country]:
        parts = ", ".join(known[country][:40]) or "none"
        raise ValueError(f"{code!r}: {country} has no part {part!r}; there are: {parts}")
    return f"{country}-{part}" if part else country


def _day(name: str, key: str) -> int:
    text = name.strip()
    for names in (DAYS, FULL_DAYS):
        if text in names:
            return names.index(text)
    raise ValueError(f"{key!r} is not a day; write {_KEYS}")


def _wall(local: datetime, timezone: str, last: bool) -> float:
    zone = ZoneInfo(timezone)
    first, second = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        return second if last else first
    # The clocks skip this time: the change lies between what the two offsets make of it.
    before = datetime.fromtimestamp(second, zone).utcoffset()
    low, high = second, first
    while high - low > 0.5:
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return float(round(high))


@lru_cache(maxsize=256)
def _holidays_of(country: str, year: int) -> Mapping[date, str]:
    code, _, part = country.partition("-")
    found = _package().country_holidays(code, subdiv=part or None, years=year)
    return {day: found[day] for day in found}


def _package() -> Any:
    import holidays  # takes long to import, and only sites with a country need it

    return holidays


def _listed(hours: Hours) -> list[list[int]]:
    return [list(one) for one in hours]


def _tupled(hours: Any) -> Hours:
    return tuple((int(start), int(end)) for start, end in hours)


ALWAYS = OpeningHours()
"""Open all the time, in UTC."""
