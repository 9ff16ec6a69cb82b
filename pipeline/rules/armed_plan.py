"""When a site is armed by plan: always, never, while it is closed, or in some hours."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Discriminator, Tag

from pipeline.core.arming import ArmingPlan, Constant, PlannedArming
from pipeline.core.config import as_written
from pipeline.core.events import JsonValue
from pipeline.core.opening_hours import OpeningHours
from pipeline.rules.schedule import Schedule, Window

# A plan whose windows are on one day of the week changes within so many days.
_AROUND = 8


_WORDS = {"yes": True, "no": False, "on": True, "off": False, "true": True, "false": False}


def _as_meant(value: Any) -> Any:
    """YAML 1.2 reads `yes` as a word; and one window needs no list."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        if word != "closed":
            raise ValueError(
                f"{value[:60]!r} is no plan; write yes, no, closed (outside the opening hours) or "
                'hours, such as {days: mon-fri, from: "22:00", to: "6:00"}'
            )
        return word
    return [value] if isinstance(value, dict) else value


def _kind_of_plan(value: object) -> str:
    if isinstance(value, bool):
        return "constant"
    return "closed" if value == "closed" else "windows"


ArmedWhen = Annotated[
    Annotated[bool, Tag("constant")]
    | Annotated[Literal["closed"], Tag("closed")]
    | Annotated[tuple[Window, ...], Tag("windows")],
    Discriminator(_kind_of_plan),
    BeforeValidator(_as_meant),
]
"""`yes`, `no`, `closed` for the hours in which the site is closed, or windows of hours."""


def arming_plan(
    when: bool | Literal["closed"] | Sequence[Window], hours: OpeningHours
) -> ArmingPlan:
    """The plan of a site with these opening hours."""
    if isinstance(when, bool):
        return Constant(when)
    return _Hours(when, hours)


class _Hours:
    """Armed in some hours of the site's wall clock."""

    def __init__(self, when: Literal["closed"] | Sequence[Window], hours: OpeningHours) -> None:
        self._when, self._hours = when, hours
        self._windows: Sequence[Window] = () if isinstance(when, str) else when
        self._schedule = Schedule(self._windows or "open", hours.timezone, hours)

    def at(self, at: float) -> PlannedArming:
        """What holds at a moment, and from when to when."""
        day = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(self._hours.timezone)).date()
        holds = self._is_armed(at)
        since, until = float("-inf"), float("inf")
        for edge in sorted(set(self._edges(day))):
            # Where one window ends and the next begins, nothing changes.
            if self._is_armed(edge) == self._is_armed(edge - 0.001):
                continue
            if edge <= at:
                since = edge
            elif until == float("inf"):
                until = edge
        return PlannedArming(holds, since, until)

    def as_json(self) -> JsonValue:
        """The windows or hours."""
        if self._windows:
            return [
                self._hours.timezone,
                *(as_written(window) for window in self._windows),
            ]
        return {"closed": self._hours.as_json()}

    def _is_armed(self, at: float) -> bool:
        return self._schedule.allows(at) == bool(self._windows)

    def _edges(self, around: date) -> Iterator[float]:
        """Every moment near a day at which the plan may change."""
        for days in range(-_AROUND, _AROUND + 1):
            day = around + timedelta(days=days)
            if not self._windows:
                for opening in self._hours.openings(day):
                    yield opening.since
                    yield opening.until
            for window in self._windows:
                midnight = datetime(day.year, day.month, day.day)
                start, end = (
                    (mark - midnight) // timedelta(minutes=1) for mark in window.span(day)
                )
                yield self._hours.clock(day, start)
                yield self._hours.clock(day, end, last=True)
