"""The time before, step for step beside the time that is shown: the same weekdays, or the month.

By the clock on the wall: of a day on which clocks change, 14:00 stands beside 14:00. An hour that
is there twice, or not at all, has nothing beside it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from pipeline.core.audits import Audits
from pipeline.core.events import timestamp
from pipeline.core.opening_hours import OpeningHours
from pipeline.core.store import History, Span
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import COUNTS, Export, ExportColumn, Row, counts
from pipeline.reports.steps import TimeStep, steps
from pipeline.web.numbers.choosing import ChosenTime, RuleName, StepName, narrowed
from pipeline.web.numbers.series import (
    EditMark,
    RuleSeries,
    SeriesWish,
    SiteGrid,
    SiteSeries,
    StepInfo,
    edit_marks,
    outside_of,
    rule_series,
    site_grid,
    site_sums,
)

_WEEK_DAYS = 7
# A week in which clocks are put back is an hour longer than seven days.
_CLOCK_CHANGE_DAYS = 0.1
T = TypeVar("T")


class NumbersBefore(BaseModel):
    """Numbers of the time before; its lists have a place for each step of the time shown."""

    weeks: int | None
    """By how many weeks it is earlier; None for the month before."""
    since: float
    until: float
    """As far as the time shown has come: a running day is compared up to the same time of day."""
    sites: list[SiteGrid]
    """A step without length stands where there was none."""
    series: list[RuleSeries]
    sums: list[SiteSeries]
    edits: list[EditMark]


@dataclass(frozen=True, slots=True)
class TimeBefore:
    """What a period is compared with, by a site's clock."""

    weeks: int | None
    time: ChosenTime
    so_far: float
    """Its end, or as far in it as the period has come."""
    zone: ZoneInfo
    shift: timedelta

    @classmethod
    def of(cls, site: SiteConfig, time: ChosenTime, now: float) -> "TimeBefore":
        """That of a period, which may be running."""
        zone, hours = ZoneInfo(site.timezone), site.opening_hours
        shift, weeks = _shift_of(time)
        since, until = (_earlier(at, zone, shift) for at in (time.since, time.until))
        days = None if time.first is None or time.last is None else (time.first, time.last)
        # Days of several sites are those of the first one, by the others' clocks.
        if days is not None and hours.begins(days[0]) == time.since:
            after = days[0] if weeks is None else days[1] + timedelta(days=1) - shift
            since, until = hours.begins(days[0] - shift), hours.begins(after)
        elif weeks is None:
            until = time.since
        so_far = until if now >= time.until else min(until, _earlier(now, zone, shift))
        return cls(weeks, ChosenTime(since, until), max(since, so_far), zone, shift)

    def steps(self, hours: OpeningHours, step: StepName) -> list[TimeStep]:
        """Its whole steps."""
        return list(steps(hours, step, self.time.since, self.time.until))


def numbers_before(
    deployment: Deployment, history: History, audits: Audits, wish: SeriesWish, now: float
) -> NumbersBefore | None:
    """The numbers of the time before; None without any rule. Raises StoreError."""
    sites = {one.name: one for one in (deployment.site_of(rule.camera) for rule in wish.rules)}
    if not sites:
        return None
    times = {name: TimeBefore.of(site, wish.time, now) for name, site in sites.items()}
    earlier = {name: _wish_of(wish, time) for name, time in times.items()}
    places = {
        name: partners(site, wish.time, times[name], wish.step) for name, site in sites.items()
    }
    series = [
        _moved(rule_series(deployment, history, audits, one, earlier[site], now), places[site])
        for one in wish.rules
        for site in (deployment.site_of(one.camera).name,)
    ]
    first = next(iter(times.values()))
    return NumbersBefore(
        weeks=first.weeks,
        since=first.time.since,
        until=first.so_far,
        sites=[
            _grid(site_grid(site, earlier[name], now), places[name]) for name, site in sites.items()
        ],
        series=series,
        sums=site_sums(series, outside_of(deployment)),
        edits=edit_marks(history, wish.rules, ChosenTime(first.time.since, first.so_far)),
    )


def partners(
    site: SiteConfig, time: ChosenTime, before: TimeBefore, step: StepName
) -> list[int | None]:
    """For each step of a period, the place of the one before; None where there was none."""
    hours = site.opening_hours
    shown = list(steps(hours, step, time.since, time.until))
    earlier = before.steps(hours, step)
    if step in ("1d", "1w"):
        return [place if place < len(earlier) else None for place in range(len(shown))]
    found = {name: place for place, name in enumerate(_names(hours, before.zone, earlier))}
    return [found.get(name) for name in _names(hours, before.zone, shown)]


def _names(
    hours: OpeningHours, zone: ZoneInfo, grid: Sequence[TimeStep]
) -> list[tuple[int, int, int, int]]:
    """Each step by the number of its day, and by what the clock on the wall shows."""
    first = hours.day_of(grid[0].since) if grid else None
    found = []
    for step in grid:
        local = datetime.fromtimestamp(step.since, zone)
        day = (hours.day_of(step.since) - first).days if first is not None else 0
        found.append((day, local.hour, local.minute, local.fold))
    return found


def _shift_of(time: ChosenTime) -> tuple[timedelta, int | None]:
    """By how much earlier it is, and in how many weeks; None for a month."""
    if time.first is not None and time.last is not None:
        after = time.last + timedelta(days=1)
        if time.first.day == 1 and after.day == 1 and (after - time.first).days <= 31:
            month = (time.first - timedelta(days=1)).replace(day=1)
            return time.first - month, None
        days = float((after - time.first).days)
    else:
        days = time.days - _CLOCK_CHANGE_DAYS
    weeks = max(1, math.ceil(days / _WEEK_DAYS))
    return timedelta(days=_WEEK_DAYS * weeks), weeks


def _earlier(at: float, zone: ZoneInfo, shift: timedelta) -> float:
    local = datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0) - shift
    return local.replace(tzinfo=zone).timestamp()


def _wish_of(wish: SeriesWish, before: TimeBefore) -> SeriesWish:
    return SeriesWish(
        wish.rules,
        before.time,
        wish.step,
        wish.measures,
        wish.only_open,
        with_heat=False,
        ends=before.so_far,
    )


def _moved(series: RuleSeries, places: Sequence[int | None]) -> RuleSeries:
    return series.model_copy(
        update={
            "coverage": _onto(places, series.coverage, 0.0),
            "minutes_known": _onto(places, series.minutes_known, 0.0),
            "measures": [
                one.model_copy(update={"values": _onto(places, one.values, None)})
                for one in series.measures
            ],
        }
    )


def _grid(grid: SiteGrid, places: Sequence[int | None]) -> SiteGrid:
    none = StepInfo(since=0.0, until=0.0, minutes=0.0)
    return grid.model_copy(update={"steps": _onto(places, grid.steps, none), "days": []})


def _onto(places: Sequence[int | None], values: Sequence[T], otherwise: T) -> list[T]:
    """Values by the steps of the time shown; what lies ahead has not been read."""
    return [
        values[place] if place is not None and place < len(values) else otherwise
        for place in places
    ]


_BEFORE_COLUMNS = (
    ExportColumn("before_start", "text", "When the step before begins, in UTC; empty without."),
    ExportColumn("before_value", "number", "The number of it; empty where it is not known."),
    ExportColumn("before_coverage", "number", "Share of it that is known, 0 to 1."),
    ExportColumn("before_minutes_known", "number", "Minutes of it that are known."),
)
_START, _MEASURE, _VALUE, _COVERAGE, _KNOWN = (
    [column.name for column in COUNTS].index(name)
    for name in ("start", "measure", "value", "coverage", "minutes_known")
)


def counts_beside(
    deployment: Deployment,
    history: History,
    rules: Sequence[RuleName],
    wish: SeriesWish,
    now: float,
) -> Export:
    """The rows of `moonwatch export`, each with the whole step of the time before behind it."""

    def rows() -> Iterator[Row]:
        for one in rules:
            alone, site = narrowed(deployment, [one]), deployment.site_of(one.camera)
            before = TimeBefore.of(site, wish.time, now)
            earlier = before.steps(site.opening_hours, wish.step)
            shown = list(steps(site.opening_hours, wish.step, wish.time.since, wish.time.until))
            places = partners(site, wish.time, before, wish.step)
            partner = {
                timestamp(step.since): None if place is None else timestamp(earlier[place].since)
                for step, place in zip(shown, places, strict=True)
            }
            span = Span(before.time.since, before.time.until)
            found = {
                (row[_MEASURE], row[_START]): row
                for row in counts(alone, history, wish.step, span).rows
            }
            for row in counts(
                alone, history, wish.step, Span(wish.time.since, wish.time.until)
            ).rows:
                beside = found.get((row[_MEASURE], partner.get(str(row[_START]))))
                told = (
                    (None, None, None, None)
                    if beside is None
                    else (beside[_START], beside[_VALUE], beside[_COVERAGE], beside[_KNOWN])
                )
                yield (*row, *told)

    return Export((*COUNTS, *_BEFORE_COLUMNS), rows())
