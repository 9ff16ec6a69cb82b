"""The opening page: the day so far against the same day of the week before, up to this minute.

The figures are those of `moonwatch report --day`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from pydantic import BaseModel

from pipeline.core.audits import Audits
from pipeline.core.edits import RuleEdit
from pipeline.core.errors import MoonwatchError
from pipeline.core.measures import BUCKET_S
from pipeline.core.opening_hours import OpeningHours
from pipeline.core.store import Extent, History, Span
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import rounded
from pipeline.reports.figures import (
    Compared,
    RuleNumbers,
    SiteReport,
    SoldFigures,
    figures,
    over_doors,
)
from pipeline.reports.periods import Period
from pipeline.reports.sales import read_sales
from pipeline.rules.measures import Column
from pipeline.web.numbers.choosing import RuleName, narrowed
from pipeline.web.numbers.series import AuditNote, EditMark, OpenTime, audit_note, edit_mark

DayReason = Literal["today", "asked", "not_open_yet", "old", "none"]
"""Why a day is shown: it is today, it was asked for, the site has not opened yet today, nothing
newer is known, or nothing is known at all (then it is today as well)."""
_LONG_AGO = timedelta(days=1)


class ComparedNumber(BaseModel):
    """A number of the day, and what it was in the week before by the same time of day."""

    value: float | None
    coverage: float
    """The share of the opening time so far that is known."""
    before: float | None
    coverage_before: float
    change: float | None
    """By which share it changed; None where the two cannot be compared."""
    is_complete: bool
    """Whether enough is known of the day; a sum is at least its value otherwise."""


class DayFigure(ComparedNumber):
    """One measure of one rule."""

    name: str
    heading: str
    unit: str
    over_time: str
    decimals: int
    suffix: str
    is_main: bool
    outside: float | None
    """The same outside of opening hours, of sums."""


class HourOfDay(BaseModel):
    """An hour of the day, of the rule's first measure."""

    hour: str
    value: float | None
    coverage: float
    is_open: bool


class StaysOfDay(BaseModel):
    """How long visits lasted, in seconds."""

    visits: int
    median_s: float | None
    p90_s: float | None
    longest_s: float | None
    shortest_s: float
    cut_short: int


class DayOfRule(BaseModel):
    """What a rule has measured on the day."""

    camera: str
    rule: str
    type: str
    title: str
    is_entrance: bool
    """Whether it counts people in and out."""
    figures: list[DayFigure]
    coverage: float
    coverage_before: float
    missing_minutes: float
    """Of the opening time so far."""
    gaps: list[OpenTime]
    """The longest stretches of them."""
    by_hour: list[HourOfDay]
    events: int
    rejected: int
    stays: StaysOfDay | None
    audit: AuditNote | None
    edits: list[EditMark]
    """From when on it counts by other terms, on this day."""


class SoldOfDay(BaseModel):
    """What the till sold, by the file of sales."""

    transactions: float | None
    amount: float | None
    conversion: float | None
    """Transactions by those who came in."""
    before: float | None
    """Transactions of the week before."""


class DayOfSite(BaseModel):
    """A site's day."""

    site: str
    timezone: str
    day: str
    reason: DayReason
    holiday: str | None
    opens: list[OpenTime]
    since: float
    until: float
    """Up to when it is counted."""
    is_to_date: bool
    """Whether the day goes on."""
    before_day: str
    before_until: float
    open_minutes: float
    """Those of the day so far."""
    came_in: ComparedNumber | None
    """Summed over the doors; None without any."""
    went_out: ComparedNumber | None
    sold: SoldOfDay | None
    no_sales: str | None
    """Why sales cannot be read."""
    mean_stay_s: float | None
    """How long people stay by the doors, as far as the day is over."""
    rules: list[DayOfRule]


@dataclass(frozen=True, slots=True)
class DayWish:
    """For whom, and of which day: the last one if None."""

    rules: Sequence[RuleName]
    now: float
    day: date | None = None


def days_of_sites(
    deployment: Deployment, history: History, audits: Audits, wish: DayWish
) -> list[DayOfSite]:
    """The day of each site that has rules which count; raises StoreError."""
    seen = narrowed(deployment, wish.rules)
    extents = _extents(history, wish.rules)
    found = []
    for name in (None, *deployment.sites):
        cameras = [camera for camera, config in seen.cameras.items() if config.site == name]
        if not cameras:
            continue
        place = deployment.site if name is None else deployment.sites[name]
        of_site = {name: one for name, one in extents.items() if name.camera in cameras}
        newest = max((one.last for one in of_site.values()), default=None)
        day, reason = _day_of(place.opening_hours, wish, newest)
        whole = [camera for camera, config in deployment.cameras.items() if config.site == name]
        counting = [
            c for c in whole if any(r.measures for r in deployment.cameras[c].rules.values())
        ]
        is_whole = set(counting) <= set(cameras)
        found.append(
            _day_of_site(
                seen,
                history,
                audits,
                wish.now,
                name,
                place,
                day,
                reason,
                of_site,
                is_whole=is_whole,
            )
        )
    return found


def _extents(history: History, rules: Sequence[RuleName]) -> dict[RuleName, Extent]:
    return {
        name: one for one in history.extents() if (name := RuleName(one.camera, one.rule)) in rules
    }


def _day_of(hours: OpeningHours, wish: DayWish, newest: float | None) -> tuple[date, DayReason]:
    today = hours.day_of(wish.now)
    if wish.day is not None:
        return wish.day, "asked"
    if newest is None:
        return today, "none"
    last = hours.day_of(newest)
    if last < today - _LONG_AGO:
        return last, "old"
    so_far = Period("day", today, today + timedelta(days=1)).up_to(wish.now, hours)
    if last < today and hours.open_seconds(hours.begins(today), so_far) < 60:
        return last, "not_open_yet"
    return today, "today"


def _day_of_site(
    seen: Deployment,
    history: History,
    audits: Audits,
    now: float,
    name: str | None,
    place: SiteConfig,
    day: date,
    reason: DayReason,
    extents: Mapping[RuleName, Extent],
    *,
    is_whole: bool,
) -> DayOfSite:
    """`is_whole` where all of its rules are seen: only then its doors say who came in."""
    hours = place.opening_hours
    chosen = Period("day", day, day + timedelta(days=1))
    sold, no_sales = None, None
    if place.sales is not None and is_whole:
        try:
            sold = read_sales(place.sales, place.timezone)
        except MoonwatchError as error:
            no_sales = str(error).replace(str(place.sales), place.sales.name)
    report = figures(seen, history, chosen, now, name, audits, sold)
    recorded = {
        rule: (one, _recorded_minutes(history, rule, one))
        for rule, one in extents.items()
        if seen.cameras[rule.camera].source.type == "file"
        and hours.begins(day) <= one.first
        and one.last < hours.begins(day + timedelta(days=1))
    }
    rules = [
        _as_recorded(rule, report.open_minutes, recorded.get(RuleName(rule.camera, rule.rule)))
        for rule in report.rules
    ]
    report = replace(report, rules=tuple(rule for rule, _ in rules))
    doors = report.doors
    edits = history.edits(None, Span(hours.begins(day), hours.begins(day + timedelta(days=1))))
    return DayOfSite(
        site=place.name,
        timezone=place.timezone,
        day=day.isoformat(),
        reason=reason,
        holiday=hours.holiday(day),
        opens=[OpenTime(since=one.since, until=one.until) for one in hours.openings(day)],
        since=report.since,
        until=report.until,
        is_to_date=report.is_to_date,
        before_day=chosen.before.first.isoformat(),
        before_until=chosen.equally_far(report.until, hours),
        open_minutes=round(report.open_minutes, 3),
        came_in=_summed(over_doors(doors, "entered")),
        went_out=_summed(over_doors(doors, "left")),
        sold=_sold(report),
        no_sales=no_sales,
        mean_stay_s=report.inside.mean_s if report.inside is not None and is_whole else None,
        rules=[
            _day_of_rule(report, rule, minutes, edits) for rule, minutes in rules if rule.measures
        ],
    )


def _recorded_minutes(history: History, rule: RuleName, extent: Extent) -> float:
    """How long a recording is: it begins and ends in the midst of a minute."""
    ends = sorted({extent.first, extent.last})
    missing = sum(
        1 - bucket.coverage
        for minute in ends
        for bucket in history.buckets(rule.camera, rule.rule, Span(minute, minute + BUCKET_S))
    )
    return (extent.last - extent.first) / BUCKET_S + 1 - missing


def _as_recorded(
    rule: RuleNumbers, open_minutes: float, recorded: tuple[Extent, float] | None
) -> tuple[RuleNumbers, float]:
    """A rule by the minutes that its recording has, and how many these are.

    What is before a recording of a part of the day, and after it, is not unknown: nobody asked.
    """
    if recorded is None or not open_minutes:
        return rule, open_minutes
    extent, minutes = recorded
    since, until = extent.first, extent.last + BUCKET_S
    coverage = min(rule.coverage * open_minutes / minutes, 1.0) if minutes else 0.0
    gaps = tuple(
        (max(a, since), min(b, until)) for a, b in rule.gaps if min(b, until) > max(a, since)
    )
    measures = tuple(
        replace(one, total=replace(one.total, coverage=coverage)) for one in rule.measures
    )
    return replace(rule, coverage=coverage, gaps=gaps, measures=measures), minutes


def _number(one: Compared) -> ComparedNumber:
    return ComparedNumber(
        value=rounded(one.value),
        coverage=one.coverage,
        before=rounded(one.before),
        coverage_before=one.coverage_before,
        change=one.change,
        is_complete=one.is_complete,
    )


def _summed(one: Compared | None) -> ComparedNumber | None:
    return None if one is None else _number(one)


def _day_of_rule(
    report: SiteReport, rule: RuleNumbers, minutes: float, edits: Sequence[RuleEdit]
) -> DayOfRule:
    stays = rule.stays
    audit = next((a for a in report.audits if (a.camera, a.rule) == (rule.camera, rule.rule)), None)
    missing = max(0.0, minutes * (1 - rule.coverage))
    return DayOfRule(
        camera=rule.camera,
        rule=rule.rule,
        type=rule.type,
        title=rule.title,
        is_entrance=rule.is_door,
        figures=list(_day_figures(rule)),
        coverage=rule.coverage,
        coverage_before=rule.coverage_before,
        missing_minutes=round(missing, 3),
        gaps=[OpenTime(since=since, until=until) for since, until in rule.gaps],
        by_hour=[
            HourOfDay(
                hour=hour, value=rounded(cell.value), coverage=cell.coverage, is_open=cell.is_open
            )
            for hour, cell in zip(
                report.hour_names, rule.heat[0] if rule.heat else (), strict=False
            )
        ],
        events=rule.events,
        rejected=rule.rejected,
        stays=None
        if stays is None
        else StaysOfDay(
            visits=stays.visits,
            median_s=stays.median_s,
            p90_s=stays.p90_s,
            longest_s=stays.longest_s,
            shortest_s=stays.shortest_s,
            cut_short=stays.cut_short,
        ),
        audit=None if audit is None else audit_note(audit),
        edits=[
            edit_mark(one) for one in edits if (one.camera, one.rule) == (rule.camera, rule.rule)
        ],
    )


def _day_figures(rule: RuleNumbers) -> Iterator[DayFigure]:
    for one in rule.measures:
        column = one.measure.column or Column(one.measure.name)
        yield DayFigure(
            name=one.measure.name,
            heading=one.heading,
            unit=one.measure.unit,
            over_time=one.measure.over_time,
            decimals=column.decimals,
            suffix=column.suffix,
            is_main=one.measure.column is not None,
            outside=rounded(one.outside),
            **_number(one.total).model_dump(),
        )


def _sold(report: SiteReport) -> SoldOfDay | None:
    if report.sales is None:
        return None
    total: SoldFigures = report.sales.total
    return SoldOfDay(
        transactions=rounded(total.transactions),
        amount=rounded(total.amount),
        conversion=total.conversion,
        before=rounded(report.sales.before.transactions),
    )
