"""When a rule may report events: days and hours of the site's wall clock, across clock changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from pipeline.core.arming import ArmedTimes
from pipeline.core.config import Config
from pipeline.core.opening_hours import ALWAYS, DAYS, FULL_DAYS, OpeningHours
from pipeline.core.switching import SwitchTimes
from pipeline.core.time_of_day import TimeOfDay

_SPANS = {
    "weekdays": "mon-fri",
    "weekday": "mon-fri",
    "workdays": "mon-fri",
    "weekend": "sat-sun",
    "weekends": "sat-sun",
    "daily": "mon-sun",
    "all": "mon-sun",
}


def _parse_days(value: Any) -> Any:
    if isinstance(value, str):
        value = [part for part in re.split(r"[,\s]+", value) if part]
    if not isinstance(value, list | tuple):
        return value
    if not value:
        raise ValueError("names no days; leave it out for every day")
    return tuple("-".join(_day(end) for end in str(part).split("-", 1)) for part in value)


def _day(name: str) -> str:
    text = name.strip().lower()
    if text in DAYS:
        return text
    if text in FULL_DAYS:
        return text[:3]
    if text == "open":
        raise ValueError("`open` is the whole schedule; write `schedule: open`")
    if text in _SPANS:
        raise ValueError(f"{name!r} is not a day; write {_SPANS[text]}")
    raise ValueError(f"{name!r} is not a day; write {', '.join(DAYS)} or a range like mon-fri")


_days_schema = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
Days = Annotated[tuple[str, ...], BeforeValidator(_parse_days), _days_schema]


class Window(Config):
    """Hours on some days. A window that ends before it starts runs past midnight."""

    days: Days = Field(default=DAYS, description="Days on which it begins, like [mon-fri, sun].")
    from_: TimeOfDay = Field(
        default="00:00", alias="from", description='When it begins, like "22:00".'
    )
    to: TimeOfDay = Field(default="24:00", description='When it ends, up to "24:00".')

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.from_ == self.to:
            raise ValueError(f"from and to are both {self.to}; leave both out for the whole day")
        if self.from_ == "24:00":
            raise ValueError('from cannot be "24:00"; write "00:00" and the next day')
        return self

    def weekdays(self) -> frozenset[int]:
        """Monday is 0."""
        found: set[int] = set()
        for part in self.days:
            first, _, last = part.partition("-")
            start, end = DAYS.index(first), DAYS.index(last or first)
            found.update((start + i) % 7 for i in range((end - start) % 7 + 1))
        return frozenset(found)

    def span(self, day: date) -> tuple[datetime, datetime]:
        """Beginning and end, on the wall clock, of the window that begins on `day`."""
        midnight = datetime(day.year, day.month, day.day)
        start, end = (timedelta(minutes=_minutes(clock)) for clock in (self.from_, self.to))
        return midnight + start, midnight + end + timedelta(days=1 if end < start else 0)


def _kind_of_schedule(value: Any) -> str:
    return "open" if value == "open" else "windows"


Windows = Annotated[
    Annotated[tuple[Window, ...], Tag("windows")] | Annotated[Literal["open"], Tag("open")],
    Discriminator(_kind_of_schedule),
]
"""Windows, or `open` for the hours in which the site is open."""


class Schedule:
    """Tells whether a moment lies in any of the windows, in an IANA time zone.

    A window is one stretch of time: where the clocks go back, it lasts from the first time they
    show its beginning to the last time they show its end; a beginning or end that the clocks skip
    in spring is the moment of the change.
    """

    def __init__(
        self,
        windows: Sequence[Window] | Literal["open"],
        timezone: str,
        hours: OpeningHours = ALWAYS,
    ) -> None:
        """`hours` are the site's, for a schedule that is `open`."""
        self._hours = hours if windows == "open" else None
        given = () if isinstance(windows, str) else windows
        self._windows = [(window, window.weekdays()) for window in given]
        self._zone = ZoneInfo(timezone)

    def allows(self, at: float) -> bool:
        """Whether `at` (UTC seconds) lies in a window; always True without windows."""
        if self._hours is not None:
            return self._hours.is_open(at)
        if not self._windows:
            return True
        local = datetime.fromtimestamp(at, UTC).astimezone(self._zone).replace(tzinfo=None)
        days = (local.date(), local.date() - timedelta(days=1))
        return any(
            day.weekday() in weekdays and self._inside(window.span(day), at, local)
            for window, weekdays in self._windows
            for day in days
        )

    def _inside(self, span: tuple[datetime, datetime], at: float, local: datetime) -> bool:
        start, end = span
        return self._reached(start, at, local, 0) and not self._reached(end, at, local, 1)

    def _reached(self, mark: datetime, at: float, local: datetime, showing: int) -> bool:
        first, second = (mark.replace(tzinfo=self._zone, fold=fold).timestamp() for fold in (0, 1))
        if first > second:  # the clocks skip this time in spring
            return local >= mark
        return at >= (second if showing else first)


When = Literal["always", "armed", "disarmed"]
"""Whether a rule reports always, or only while its camera is armed, or only while it is not."""


@dataclass(frozen=True, slots=True)
class ReportingTime:
    """Tells whether a rule reports at a moment."""

    schedule: Schedule
    when: When = "always"
    armed: ArmedTimes = field(default_factory=ArmedTimes)
    switches: SwitchTimes = field(default_factory=SwitchTimes)

    def allows(self, at: float) -> bool:
        """Whether `at` (UTC seconds) lies in its hours, armed or disarmed as is wanted, and on."""
        if not (self.schedule.allows(at) and self.switches.is_on(at)):
            return False
        return self.when == "always" or self.armed.at(at).is_armed == (self.when == "armed")


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
