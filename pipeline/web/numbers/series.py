"""Numbers over time: what `moonwatch export` says of each step, with what follows from it."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from pipeline.core.audits import Audit, Audits
from pipeline.core.edits import RuleEdit
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.store import (
    COUNTED,
    FIRST_PAGE,
    EventFilter,
    History,
    Page,
    Span,
    StoredEvent,
)
from pipeline.deployment.capturing import Place, passing_rules
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import VISIT_UNIT, is_complete, rounded, type_of
from pipeline.reports.figures import ENOUGH, OpenSpan, added, quantile
from pipeline.reports.steps import StepMeasures, TimeStep, measured, minutes_of, steps
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import Column, Measure
from pipeline.rules.record import RuleRecord
from pipeline.web.numbers.choosing import ChosenTime, RuleName, StepName

HEAT_FROM_DAYS: Final = 1.5
_PAGE = 1000
_IN, _OUT, _NET = "entered", "left", "net"
_HOUR_MINUTES = 60.0
_WHOLE_WEEK = (7, 24)


class StepInfo(BaseModel):
    """A step of a site's clock."""

    since: float
    until: float
    minutes: float
    """Those of it that count: that are over, and within opening hours where only these count."""


class OpenTime(BaseModel):
    """A stretch of opening time."""

    since: float
    until: float


class SiteDay(BaseModel):
    """A business day of a site."""

    day: str
    since: float
    until: float
    holiday: str | None
    openings: list[OpenTime]


class SiteGrid(BaseModel):
    """A site's steps and days: several sites may have several time zones."""

    site: str
    timezone: str
    has_hours: bool
    """Whether opening hours are given; always open otherwise."""
    steps: list[StepInfo]
    days: list[SiteDay]
    """Empty where the period is longer than is shown by day."""


class HeatTable(BaseModel):
    """A measure by day of the week, from Monday, and hour of the day."""

    values: list[list[float | None]]
    """For sums, the mean of such hours; None where none is known well enough."""
    hours: list[list[int]]
    """How many such hours are in it."""
    open_minutes: list[list[float]]
    """How many minutes the site is open in all of them."""


class MeasureSeries(BaseModel):
    """One number of a rule, by step; None where it is not known."""

    name: str
    heading: str
    unit: str
    over_time: str
    """How steps add up: sum, mean, max, min, last; `derived` for what is reckoned from others."""
    decimals: int
    suffix: str
    is_main: bool
    """Whether a summary shows it; the others are parts of what it shows."""
    values: list[float | None]
    total: float | None
    heat: HeatTable | None


class AuditNote(BaseModel):
    """What the last count by hand has found."""

    id: str
    judged_at: float
    by: str
    since: float
    until: float
    accuracy: float | None
    low: float | None
    high: float | None
    counted: int
    judged: int


class RuleSeries(BaseModel):
    """What one rule has measured."""

    camera: str
    rule: str
    site: str
    type: str
    title: str
    staff: str | None
    """By which zone or line it tells staff, in words."""
    coverage: list[float]
    """The share of each whole step that is known, as `moonwatch export` has it."""
    minutes_known: list[float]
    measures: list[MeasureSeries]
    minutes: float
    """Those of the period that count, and are over."""
    known: float
    """The share of them that is known."""
    events: int
    audit: AuditNote | None


class SiteSeries(BaseModel):
    """The sum of a measure over the rules of a site; None where one of them is not known."""

    site: str
    name: str
    heading: str
    unit: str
    rules: int
    values: list[float | None]
    coverage: list[float]
    """That of the rule of which the least is known."""
    total: float | None


class EditMark(BaseModel):
    """A moment from which a rule counts anew."""

    camera: str
    rule: str
    at: float
    kind: str
    changed: str


@dataclass(frozen=True, slots=True)
class SeriesWish:
    """What is wanted."""

    rules: Sequence[RuleName]
    time: ChosenTime
    step: StepName
    measures: Collection[str] = ()
    """Only these; those that a summary shows otherwise."""
    only_open: bool = False
    """Whether minutes outside of opening hours are left out."""
    with_heat: bool = True
    ends: float | None = None
    """Where the period is cut off, also in the midst of a step; it is whole otherwise."""


def site_grid(site: SiteConfig, wish: SeriesWish, now: float) -> SiteGrid:
    """The steps of a site."""
    hours = site.opening_hours
    opened = OpenSpan.of(hours, wish.time.since, wish.time.until + 2 * 86_400.0)
    found = []
    for step in steps_of(site, wish):
        until = min(step.until, now)
        minutes = max(0.0, until - step.since) / BUCKET_S
        if wish.only_open:
            minutes = opened.open_minutes_between(step.since, until) if minutes else 0.0
        found.append(StepInfo(since=step.since, until=step.until, minutes=round(minutes, 3)))
    days = []
    if wish.time.days <= _MOST_DAYS_SHOWN:
        day, last = hours.day_of(wish.time.since), hours.day_of(wish.time.until - 1)
        while day <= last:
            following = day + timedelta(days=1)
            openings = [OpenTime(since=o.since, until=o.until) for o in hours.openings(day)]
            days.append(
                SiteDay(
                    day=day.isoformat(),
                    since=hours.begins(day),
                    until=hours.begins(following),
                    holiday=hours.holiday(day),
                    openings=openings,
                )
            )
            day = following
    return SiteGrid(
        site=site.name, timezone=site.timezone, has_hours=hours.are_known, steps=found, days=days
    )


_MOST_DAYS_SHOWN = 62


def rule_series(
    deployment: Deployment,
    history: History,
    audits: Audits,
    one: RuleName,
    wish: SeriesWish,
    now: float,
) -> RuleSeries:
    """What a rule has measured in each step; raises StoreError."""
    site = deployment.site_of(one.camera)
    rule = deployment.cameras[one.camera].rules[one.rule]
    grid = list(steps_of(site, wish))
    since, until = (grid[0].since, grid[-1].until) if grid else (wish.time.since, wish.time.since)
    opened = OpenSpan.of(site.opening_hours, since, until)
    minutes = [
        minute
        for minute in minutes_of(history, one.camera, one.rule, since, until)
        if not wish.only_open or opened.is_open(minute.minute)
    ]
    by_step = list(measured(iter(minutes), iter(grid)))
    counted_minutes = max(0.0, min(until, now) - since) / BUCKET_S
    if wish.only_open:
        counted_minutes = opened.open_minutes_between(since, min(until, now))
    heats = _HourCells.of(site, opened, minutes, grid, wish) if _has_heat(wish) and grid else None
    found = [
        _declared(measure, minutes, by_step, heats)
        for measure in rule.recorded()
        if _is_wanted(rule, measure, wish.measures)
    ]
    found += _derived(history, one, rule, minutes, by_step, wish, opened)
    known_minutes = sum(minute.coverage for minute in minutes)
    table = rule.table
    return RuleSeries(
        camera=one.camera,
        rule=one.rule,
        site=site.name,
        type=type_of(rule),
        title=table.title if table is not None else type_of(rule).replace("_", " "),
        staff=_staff(rule),
        coverage=[round(step.coverage, 6) for step in by_step],
        minutes_known=[round(step.minutes_known, 3) for step in by_step],
        measures=found,
        minutes=round(counted_minutes, 3),
        known=min(1.0, known_minutes / counted_minutes) if counted_minutes else 0.0,
        events=_events_in(history, one, since, until),
        audit=_noted(audits.last_judged(one.camera, one.rule)),
    )


def outside_of(deployment: Deployment) -> frozenset[Place]:
    """The rules of all sites that count who passes by outside."""
    return frozenset().union(*map(passing_rules, (deployment.site, *deployment.sites.values())))


def site_sums(series: Sequence[RuleSeries], outside: Collection[Place] = ()) -> list[SiteSeries]:
    """Sums over the rules of each site, of every measure that adds up and that several have.

    Who passes by `outside` is not added to who comes in.
    """
    groups: dict[tuple[str, str, str, str], list[tuple[RuleSeries, MeasureSeries]]] = {}
    for rule in series:
        for one in rule.measures if (rule.camera, rule.rule) not in outside else ():
            if one.over_time == "sum" or one.name == _NET:
                key = (rule.site, one.name, one.unit, rule.type)
                groups.setdefault(key, []).append((rule, one))
    found = []
    for (site, name, unit, _), members in groups.items():
        steps_of = zip(*(one.values for _, one in members), strict=True)
        shares = zip(*(rule.coverage for rule, _ in members), strict=True)
        found.append(
            SiteSeries(
                site=site,
                name=name,
                heading=members[0][1].heading,
                unit=unit,
                rules=len(members),
                values=[rounded(added(values)) for values in steps_of],
                coverage=[min(values) for values in shares],
                total=rounded(added(one.total for _, one in members)),
            )
        )
    return found


def edit_marks(history: History, rules: Collection[RuleName], time: ChosenTime) -> list[EditMark]:
    """What was edited of these rules in a period; raises StoreError."""
    return [
        edit_mark(edit)
        for edit in history.edits(None, Span(time.since, time.until))
        if RuleName(edit.camera, edit.rule) in rules
    ]


def edit_mark(edit: RuleEdit) -> EditMark:
    """An edit as charts mark it."""
    return EditMark(
        camera=edit.camera, rule=edit.rule, at=edit.at, kind=edit.kind, changed=edit.changed
    )


def audit_note(audit: Audit) -> AuditNote:
    """A judged audit in short: how many of a hundred that were there were counted."""
    figure = audit.figures.accuracy
    return AuditNote(
        id=audit.id,
        judged_at=audit.judged_at or 0.0,
        by=audit.by,
        since=audit.since,
        until=audit.until,
        accuracy=None if figure is None else figure.value,
        low=None if figure is None else figure.low,
        high=None if figure is None else figure.high,
        counted=audit.figures.counted,
        judged=audit.figures.judged,
    )


def _noted(audit: Audit | None) -> AuditNote | None:
    return None if audit is None else audit_note(audit)


def steps_of(site: SiteConfig, wish: SeriesWish) -> Iterator[TimeStep]:
    """The steps of a period on a site's clock."""
    for step in steps(site.opening_hours, wish.step, wish.time.since, wish.time.until):
        if wish.ends is None or step.until <= wish.ends:
            yield step
        elif step.since < wish.ends:
            yield TimeStep(step.since, wish.ends)


def _has_heat(wish: SeriesWish) -> bool:
    return wish.with_heat and wish.time.days >= HEAT_FROM_DAYS


def _is_wanted(rule: RuleBase, measure: Measure, names: Collection[str]) -> bool:
    if names:
        return measure.name in names
    return _is_main(rule, measure)


def _is_main(rule: RuleBase, measure: Measure) -> bool:
    return measure.column is not None or all(one.column is None for one in rule.recorded())


def _declared(
    measure: Measure,
    minutes: Sequence[Bucket],
    by_step: Sequence[StepMeasures],
    heats: "_HourCells | None",
) -> MeasureSeries:
    column = measure.column or Column(measure.name)
    return MeasureSeries(
        name=measure.name,
        heading=column.heading or column.name,
        unit=measure.unit,
        over_time=measure.over_time,
        decimals=column.decimals if measure.over_time != "mean" else max(2, column.decimals),
        suffix=column.suffix,
        is_main=measure.column is not None,
        values=[rounded(step.value(measure)) for step in by_step],
        total=rounded(measure.of(minutes)),
        heat=None if heats is None else heats.table(measure),
    )


def _derived(
    history: History,
    one: RuleName,
    rule: RuleBase,
    minutes: Sequence[Bucket],
    by_step: Sequence[StepMeasures],
    wish: SeriesWish,
    opened: OpenSpan,
) -> Iterator[MeasureSeries]:
    names = {measure.name: measure for measure in rule.recorded()}

    def series(column: Column, unit: str, values: list[float | None]) -> MeasureSeries:
        *by, total = (rounded(value) for value in values)
        return MeasureSeries(
            name=column.name,
            heading=column.heading or column.name,
            unit=unit,
            over_time="derived",
            decimals=column.decimals,
            suffix=column.suffix,
            is_main=True,
            values=by,
            total=total,
            heat=None,
        )

    def is_wanted(name: str) -> bool:
        return not wish.measures or name in wish.measures

    parts: list[Sequence[Bucket]] = [*(step.minutes for step in by_step), minutes]
    came, went = names.get(_IN), names.get(_OUT)
    if came is not None and went is not None and is_wanted(_NET) and came.unit == "crossings":
        yield series(
            Column(_NET, "net"), came.unit, [_less(came.of(part), went.of(part)) for part in parts]
        )
    if any(measure.unit == VISIT_UNIT for measure in names.values()):
        stays = _StaysBy.read(history, one, by_step, opened if wish.only_open else None)
        for column, share in ((_MEDIAN_STAY, 0.5), (_P90_STAY, 0.9)):
            if is_wanted(column.name):
                yield series(column, "seconds", stays.quantiles(share))
        return
    own = {measure.column.name for measure in names.values() if measure.column is not None}
    table = rule.table
    further = [c for c in (table.columns if table else ()) if c.name not in own]
    further = [column for column in further if is_wanted(column.name)]
    if not further:
        return
    edges = [*((s.step.since, s.step.until) for s in by_step)]
    edges.append((edges[0][0], edges[-1][1]) if edges else (0.0, 0.0))
    rows: list[Mapping[str, float | None]] = []
    for part, edge in zip(parts, edges, strict=True):
        record = RuleRecord(_Within(history, Span(*edge)), one.camera, one.rule, part)
        rows.append((rule.sum_up(record) or {}) if part else {})
    for column in further:
        yield series(column, column.suffix.strip() or "", [row.get(column.name) for row in rows])


_MEDIAN_STAY = Column("median_stay_s", "median stay", decimals=0, suffix=" s")
_P90_STAY = Column("p90_stay_s", "90 % stay at most", decimals=0, suffix=" s")


def _less(entered: float | None, left: float | None) -> float | None:
    return None if entered is None or left is None else entered - left


@dataclass(frozen=True, slots=True)
class _Within:
    """The events of a step, for a rule that sums itself up."""

    history: History
    span: Span

    def events(self, chosen: EventFilter, page: Page = FIRST_PAGE) -> Sequence[StoredEvent]:
        return self.history.events(replace(chosen, span=self.span), page)


@dataclass(frozen=True, slots=True)
class _StaysBy:
    """How long the visits lasted whose end was seen, by the step in which they ended."""

    by_step: Sequence[Sequence[float]]

    @classmethod
    def read(
        cls,
        history: History,
        one: RuleName,
        by_step: Sequence[StepMeasures],
        opened: OpenSpan | None,
    ) -> "_StaysBy":
        found: list[list[float]] = [[] for _ in by_step]
        if not by_step:
            return cls(found)
        starts = [step.step.since for step in by_step]
        span = Span(starts[0], by_step[-1].step.until)
        wanted = EventFilter(
            (one.camera,), (one.rule,), phases=("end",), span=span, counted_as=COUNTED
        )
        beyond: int | None = None
        while page := history.events(wanted, Page(_PAGE, beyond, newest_first=False)):
            beyond = page[-1].position
            for stored in page:
                event = stored.event
                lasted = event.data.get("seconds")
                if not isinstance(lasted, int | float) or not is_complete(event):
                    continue
                if opened is not None and not opened.is_open(event.at):
                    continue
                found[bisect_right(starts, event.at) - 1].append(float(lasted))
        return cls([sorted(one) for one in found])

    def quantiles(self, share: float) -> list[float | None]:
        """Of each step, and of all of them."""
        everything = sorted(seconds for one in self.by_step for seconds in one)
        return [quantile(one, share) for one in (*self.by_step, everything)]


def _events_in(history: History, one: RuleName, since: float, until: float) -> int:
    chosen = EventFilter(
        (one.camera,), (one.rule,), phases=("start", "single"), span=Span(since, until)
    )
    return sum(count.counted for count in history.counts(chosen))


def _staff(rule: RuleBase) -> str | None:
    staff = getattr(rule, "staff", None)
    if staff is None:
        return None
    said = [f"{kind} {name}" for kind in ("zone", "line") if (name := getattr(staff, kind, None))]
    asked = getattr(staff, "ask", None)
    return ", ".join([*said, *([str(asked)] if asked else [])]) or None


@dataclass(frozen=True, slots=True)
class _Hour:
    """An hour of a day."""

    minutes: Sequence[Bucket]
    is_known: bool
    """Whether enough is known of it, and it is a whole one."""


@dataclass(frozen=True, slots=True)
class _HourCells:
    """The hours of a period, by day of the week and hour of the site's clock."""

    cells: Mapping[tuple[int, int], Sequence[_Hour]]
    open_minutes: Mapping[tuple[int, int], float]

    @classmethod
    def of(
        cls,
        site: SiteConfig,
        opened: OpenSpan,
        minutes: Sequence[Bucket],
        grid: Sequence[TimeStep],
        wish: SeriesWish,
    ) -> "_HourCells":
        zone = ZoneInfo(site.timezone)
        cells: dict[tuple[int, int], list[_Hour]] = {}
        open_minutes: dict[tuple[int, int], float] = {}
        hourly = steps(site.opening_hours, "1h", grid[0].since, grid[-1].until)
        for hour in measured(iter(minutes), hourly):
            local = datetime.fromtimestamp(hour.step.since, zone)
            place = (local.weekday(), local.hour)
            open_here = opened.open_minutes_between(hour.step.since, hour.step.until)
            counts = open_here if wish.only_open else hour.step.minutes
            # Where clocks change by half an hour, the hour of it is cut in two.
            is_known = hour.step.minutes == _HOUR_MINUTES and counts > 0
            is_known = is_known and hour.minutes_known >= ENOUGH * counts
            cells.setdefault(place, []).append(_Hour(hour.minutes, is_known))
            open_minutes[place] = open_minutes.get(place, 0.0) + open_here
        return cls(cells, open_minutes)

    def table(self, measure: Measure) -> HeatTable:
        """The measure in each cell, over the whole hours of which enough is known."""
        days, hours = _WHOLE_WEEK
        values: list[list[float | None]] = []
        numbers: list[list[int]] = []
        for day in range(days):
            row: list[float | None] = []
            number: list[int] = []
            for hour in range(hours):
                known = [one for one in self.cells.get((day, hour), ()) if one.is_known]
                value = measure.of([minute for one in known for minute in one.minutes])
                if value is not None and measure.over_time == "sum":
                    value /= len(known)
                row.append(rounded(value))
                number.append(len(known))
            values.append(row)
            numbers.append(number)
        return HeatTable(
            values=values,
            hours=numbers,
            open_minutes=[
                [round(self.open_minutes.get((day, hour), 0.0), 3) for hour in range(hours)]
                for day in range(days)
            ],
        )
