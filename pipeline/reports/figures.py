"""The figures of a report: what each rule measured in a period, compared with the one before.

All of it follows from what the store keeps, the deployment and the period: a report made again has
the same figures. Within opening hours, unless it says otherwise; unknown is None, never zero.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from pipeline.core.audits import Audit, Audits
from pipeline.core.edits import RuleEdit
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.opening_hours import Opening, OpeningHours
from pipeline.core.store import COUNTED, EventFilter, History, Page, Span
from pipeline.deployment.capturing import (
    CaptureRules,
    Place,
    capture_rules,
    passing_measures,
    passing_rules,
)
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import VISIT_UNIT, is_complete, type_of
from pipeline.reports.periods import Period
from pipeline.reports.sales import Sale, Sales
from pipeline.reports.staying import StoreDay, TimeInStore, by_minute, store_day, time_in_store
from pipeline.reports.steps import minutes_of, steps
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import Measure

ENOUGH = 0.9
"""The share of opening time that must be known, on both sides, for a comparison."""
_GAP_S = 300.0
_GAP_COVERAGE = 0.5
_MOST_GAPS = 12
_PAGE = 1000
_DOOR_UNIT = "crossings"
_IN, _OUT = "entered", "left"


@dataclass(frozen=True, slots=True)
class Compared:
    """A number, what it was in the period before, and how much of both is known."""

    value: float | None
    coverage: float
    before: float | None = None
    coverage_before: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether enough is known of this period."""
        return self.coverage >= ENOUGH

    @property
    def is_comparable(self) -> bool:
        """Whether enough is known of both periods."""
        both = self.value is not None and self.before is not None
        return both and min(self.coverage, self.coverage_before) >= ENOUGH

    @property
    def change(self) -> float | None:
        """By which share it changed; None where the two cannot be compared."""
        if not self.is_comparable or not self.before or self.value is None:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True, slots=True)
class MeasuredFigure:
    """One measure of one rule."""

    measure: Measure
    total: Compared
    outside: float | None
    """The same outside of opening hours, where it is a sum."""
    by_day: tuple[float | None, ...]

    @property
    def heading(self) -> str:
        """What it is called in a table."""
        column = self.measure.column
        return (column.heading or column.name) if column is not None else self.measure.name


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour of one day."""

    value: float | None
    coverage: float
    """0 to 1 of its open time."""
    is_open: bool


@dataclass(frozen=True, slots=True)
class Stays:
    """How long visits lasted."""

    visits: int
    """Those whose end was seen; only they count below."""
    median_s: float | None
    p90_s: float | None
    longest_s: float | None
    shortest_s: float
    """Visits shorter than this are counted, but nobody kept how long they were."""
    cut_short: int
    """Visits whose end was not seen: they lasted longer than is known."""


@dataclass(frozen=True, slots=True)
class RuleNumbers:
    """What one rule measured in the period."""

    camera: str
    rule: str
    type: str
    title: str
    measures: tuple[MeasuredFigure, ...]
    coverage: float
    coverage_before: float
    coverage_by_day: tuple[float | None, ...]
    """None for days on which the site is closed, or that have not begun."""
    heat: tuple[tuple[Cell, ...], ...]
    """The first measure by day and hour."""
    stays: Stays | None
    events: int
    """How many happenings there were, as far as they count."""
    gaps: tuple[tuple[float, float], ...]
    """Open time of which less than half is known, 5 minutes or longer: since, until."""
    rejected: int = 0
    """How many further happenings a second look has rejected."""
    superseded: int = 0
    """How many further happenings only an earlier judging of a recording reported."""
    is_outside: bool = False
    """Whether it counts who passes by outside, and so is no door."""

    @property
    def is_door(self) -> bool:
        """Whether it counts people in and out."""
        units = {one.measure.name: one.measure.unit for one in self.measures}
        return units.get(_IN) == _DOOR_UNIT and _OUT in units and not self.is_outside

    def figure(self, name: str) -> MeasuredFigure | None:
        """The figure of a measure."""
        return next((one for one in self.measures if one.measure.name == name), None)


@dataclass(frozen=True, slots=True)
class CameraQuality:
    """How well a camera saw."""

    camera: str
    states: Mapping[str, int]
    """How often it went into each state."""


@dataclass(frozen=True, slots=True)
class SoldFigures:
    """What was sold while the site was open, against who came in."""

    transactions: float | None
    """None where the file of sales does not reach."""
    amount: float | None
    conversion: float | None
    """Transactions by those who came in; None where too little of the doors is known."""

    @property
    def per_transaction(self) -> float | None:
        """The mean amount of a transaction."""
        return self.amount / self.transactions if self.amount and self.transactions else None


@dataclass(frozen=True, slots=True)
class SalesNumbers:
    """The same of a period and its days."""

    total: SoldFigures
    before: SoldFigures
    by_day: tuple[SoldFigures, ...]
    outside: float
    """Transactions outside of opening hours, which are not among the others."""
    unused: tuple[str, ...]
    """Columns of the file that mean nothing here."""


@dataclass(frozen=True, slots=True)
class CaptureFigures:
    """Who came in against who passed by outside, while the site was open."""

    entered: float | None
    """None where too little of the time is known at one of the rules."""
    passed: float | None
    """The same."""
    known: float | None
    """The share of open time that is known, of the rule of which the least is; None if closed."""

    @classmethod
    def of(
        cls,
        entered: Iterable[float | None],
        passed: Iterable[float | None],
        known: float | None,
    ) -> "CaptureFigures":
        """From what each rule counted; nothing is said where less than ENOUGH is known."""
        if known is None or known < ENOUGH:
            return cls(None, None, known)
        return cls(added(entered), added(passed), known)

    @property
    def rate(self) -> float | None:
        """The share of those who passed by who came in; None where it is not known."""
        if self.entered is None or not self.passed:
            return None
        return self.entered / self.passed

    @property
    def is_without_passers(self) -> bool:
        """Whether there is no rate because nobody passed by."""
        return self.entered is not None and self.passed == 0


@dataclass(frozen=True, slots=True)
class CaptureNumbers:
    """The same of a period and its days."""

    rules: CaptureRules
    total: CaptureFigures
    before: CaptureFigures
    by_day: tuple[CaptureFigures, ...]


@dataclass(frozen=True, slots=True)
class SiteReport:
    """Everything that a report says."""

    site: SiteConfig
    period: Period
    since: float
    until: float
    """The end of the period, or of what was counted while it runs."""
    is_to_date: bool
    hours: OpeningHours
    open_minutes: float
    open_minutes_by_day: tuple[float, ...]
    hour_names: tuple[str, ...]
    rules: tuple[RuleNumbers, ...]
    cameras: tuple[CameraQuality, ...]
    audits: tuple[Audit, ...] = ()
    """The last audit of each rule that was audited before the end of the period."""
    edits: tuple[RuleEdit, ...] = ()
    """What was edited of its rules in this period or in the one it is compared with."""
    sales: SalesNumbers | None = None
    """None where no file of sales was named."""
    inside: TimeInStore | None = None
    """How long people stayed, by those who passed the doors; None without a door."""
    capture: CaptureNumbers | None = None
    """None where the site does not say who passes by, or one of those rules is not here."""

    @property
    def doors(self) -> tuple[RuleNumbers, ...]:
        """The rules that count in and out."""
        return tuple(rule for rule in self.rules if rule.is_door)

    @property
    def coverage(self) -> float | None:
        """The mean share of opening time that is known; None without any rule."""
        found = [rule.coverage for rule in self.rules if rule.measures]
        return sum(found) / len(found) if found and self.open_minutes else None

    @property
    def coverage_before(self) -> float | None:
        """The same of the period before."""
        found = [rule.coverage_before for rule in self.rules if rule.measures]
        return sum(found) / len(found) if found else None


def over_doors(rules: Iterable[RuleNumbers], name: str) -> Compared | None:
    """A measure summed over doors; known only where each of them is."""
    found = [one.total for rule in rules if (one := rule.figure(name)) is not None]
    if not found:
        return None
    value = added(one.value for one in found)
    before = added(one.before for one in found)
    return Compared(
        value,
        min(one.coverage for one in found),
        before,
        min(one.coverage_before for one in found),
    )


def added(values: Iterable[float | None]) -> float | None:
    """A sum; None where one part is not known, or there is none."""
    total: float | None = None
    for value in values:
        if value is None:
            return None
        total = value if total is None else total + value
    return total


def figures(
    deployment: Deployment,
    history: History,
    chosen: Period,
    now: float,
    site: str | None = None,
    audits: Audits | None = None,
    sales: Sales | None = None,
) -> SiteReport:
    """The report on a site (the file's own unless one of `sites` is named); raises StoreError."""
    place = deployment.site if site is None else deployment.sites[site]
    hours = place.opening_hours
    since, whole_until = chosen.span(hours)
    until = chosen.up_to(now, hours)
    calendar = _Calendar.of(hours, chosen, until)
    before_since = chosen.before.span(hours)[0]
    before = OpenSpan.of(hours, before_since, chosen.equally_far(until, hours))
    cameras = {name: c for name, c in deployment.cameras.items() if c.site == site}
    outside = passing_rules(place)
    found = {
        (camera, name): replace(
            _figures_of(history, calendar, before, camera, name, rule),
            is_outside=(camera, name) in outside,
        )
        for camera, config in cameras.items()
        for name, rule in config.rules.items()
    }
    rules = list(found.values())
    has_door = any(rule.is_door for rule in rules)
    return SiteReport(
        site=place,
        period=chosen,
        since=since,
        until=until,
        is_to_date=until < whole_until,
        hours=hours,
        open_minutes=calendar.now.open_minutes,
        open_minutes_by_day=calendar.open_by_day,
        hour_names=tuple(f"{hour % 24:02}" for hour in calendar.hours),
        rules=tuple(rules),
        cameras=tuple(_quality(history, camera, Span(since, until)) for camera in cameras),
        audits=tuple(_audited(audits, rules, until)) if audits is not None else (),
        edits=tuple(
            edit
            for edit in history.edits(None, Span(before_since, until))
            if edit.camera in cameras
        ),
        sales=None if sales is None else _sold(sales, hours, calendar, before, rules),
        inside=_inside(history, calendar, deployment, rules) if has_door else None,
        capture=_captured(deployment, calendar, capture_rules(deployment, site), found),
    )


@dataclass(frozen=True, slots=True)
class OpenSpan:
    """A period with its opening times, all in UTC seconds."""

    since: float
    until: float
    openings: Sequence[Opening]
    starts: Sequence[float]
    open_minutes: float

    @classmethod
    def of(cls, hours: OpeningHours, since: float, until: float) -> "OpenSpan":
        """The opening times of a period, in UTC seconds."""
        found = []
        day = hours.day_of(since) - timedelta(days=1)
        while hours.clock(day, 0) < until:
            found += [one for one in hours.openings(day) if one.until > since and one.since < until]
            day += timedelta(days=1)
        found.sort(key=lambda one: one.since)
        minutes = hours.open_seconds(since, until) / BUCKET_S if until > since else 0.0
        return cls(since, until, found, [one.since for one in found], minutes)

    def is_open(self, at: float) -> bool:
        """Whether a moment of the period lies in one of them."""
        place = bisect_right(self.starts, at) - 1
        return place >= 0 and at < self.openings[place].until

    def open_minutes_between(self, since: float, until: float) -> float:
        """How many minutes of them lie between two moments."""
        until = min(until, self.until)
        total = 0.0
        place = max(0, bisect_right(self.starts, since) - 1)
        while place < len(self.openings) and self.openings[place].since < until:
            one = self.openings[place]
            total += max(0.0, min(until, one.until) - max(since, one.since))
            place += 1
        return total / BUCKET_S


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The days and hours of a period, and how long the site is open in each."""

    now: OpenSpan
    days: tuple[date, ...]
    begins: tuple[float, ...]
    """When each day begins, and the day after the last one."""
    zone: ZoneInfo
    hours: tuple[int, ...] = ()
    """Hours after midnight of the business day that have open time; above 23 is the next day."""
    open_by_day: tuple[float, ...] = ()
    open_by_hour: Mapping[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, hours: OpeningHours, chosen: Period, until: float) -> "_Calendar":
        now = OpenSpan.of(hours, chosen.span(hours)[0], until)
        whole = OpenSpan.of(hours, *chosen.span(hours))
        days = chosen.days
        begins = (*(hours.begins(day) for day in days), hours.begins(chosen.after))
        zone = ZoneInfo(hours.timezone)
        bare = cls(now, days, begins, zone)
        by_hour: dict[tuple[int, int], float] = {}
        shown: set[int] = set()
        for step in steps(hours, "1h", begins[0], begins[-1]):
            place = bare.place(max(step.since, begins[0]))
            if whole.open_minutes_between(step.since, step.until) > 0:
                shown.add(place[1])
            minutes = now.open_minutes_between(step.since, step.until)
            by_hour[place] = by_hour.get(place, 0.0) + minutes
        by_day = tuple(
            now.open_minutes_between(begins[i], begins[i + 1]) if begins[i] < until else 0.0
            for i in range(len(days))
        )
        return cls(now, days, begins, zone, tuple(sorted(shown)), by_day, by_hour)

    def place(self, at: float) -> tuple[int, int]:
        """The day, by its number, and the hour of it in which a moment lies."""
        day = max(0, bisect_right(self.begins, at) - 1)
        local = datetime.fromtimestamp(at, self.zone).replace(tzinfo=None)
        midnight = datetime.combine(self.days[min(day, len(self.days) - 1)], datetime.min.time())
        return day, int((local - midnight).total_seconds() // 3600)


def _figures_of(
    history: History, calendar: _Calendar, before: OpenSpan, camera: str, name: str, rule: RuleBase
) -> RuleNumbers:
    now = calendar.now
    inside: list[Bucket] = []
    outside: list[Bucket] = []
    by_day: list[list[Bucket]] = [[] for _ in calendar.days]
    by_hour: dict[tuple[int, int], list[Bucket]] = {}
    for minute in minutes_of(history, camera, name, now.since, now.until):
        if not now.is_open(minute.minute):
            outside.append(minute)
            continue
        inside.append(minute)
        place = calendar.place(minute.minute)
        by_day[place[0]].append(minute)
        by_hour.setdefault(place, []).append(minute)
    earlier = [
        minute
        for minute in minutes_of(history, camera, name, before.since, before.until)
        if before.is_open(minute.minute)
    ]
    coverage = _coverage(inside, now.open_minutes)
    coverage_before = _coverage(earlier, before.open_minutes)
    measures = tuple(
        MeasuredFigure(
            measure,
            Compared(measure.of(inside), coverage, measure.of(earlier), coverage_before),
            measure.of(outside) if measure.over_time == "sum" else None,
            tuple(measure.of(day) for day in by_day),
        )
        for measure in rule.recorded()
    )
    heat = tuple(
        tuple(
            _cell(rule, by_hour.get((day, hour), []), calendar.open_by_hour.get((day, hour), 0.0))
            for hour in calendar.hours
        )
        for day in range(len(calendar.days))
    )
    table = rule.table
    events = history.counts(
        EventFilter((camera,), (name,), phases=("start", "single"), span=Span(now.since, now.until))
    )
    return RuleNumbers(
        camera=camera,
        rule=name,
        type=type_of(rule),
        title=table.title if table is not None else type_of(rule).replace("_", " "),
        measures=measures,
        coverage=coverage,
        coverage_before=coverage_before,
        coverage_by_day=tuple(
            _coverage(minutes, open_minutes) if open_minutes else None
            for minutes, open_minutes in zip(by_day, calendar.open_by_day, strict=True)
        ),
        heat=heat if rule.measures else (),
        stays=_stays(history, camera, name, rule, now),
        events=sum(count.counted for count in events),
        gaps=tuple(_gaps(inside, now)) if rule.measures else (),
        rejected=sum(count.rejected for count in events),
        superseded=sum(count.superseded for count in events),
    )


def _cell(rule: RuleBase, minutes: Sequence[Bucket], open_minutes: float) -> Cell:
    value = rule.measures[0].of(minutes) if rule.measures and minutes else None
    return Cell(value, _coverage(minutes, open_minutes), open_minutes > 0)


def _coverage(minutes: Sequence[Bucket], of_minutes: float) -> float:
    if not of_minutes:
        return 0.0
    return min(1.0, sum(minute.coverage for minute in minutes) / of_minutes)


def _stays(history: History, camera: str, name: str, rule: RuleBase, now: OpenSpan) -> Stays | None:
    if not any(measure.unit == VISIT_UNIT for measure in rule.measures):
        return None
    seconds: list[float] = []
    cut = 0
    wanted = EventFilter(
        (camera,),
        (name,),
        phases=("end",),
        span=Span(now.since, now.until),
        counted_as=COUNTED,
    )
    beyond: int | None = None
    while page := history.events(wanted, Page(_PAGE, beyond, newest_first=False)):
        beyond = page[-1].position
        for stored in page:
            lasted = stored.event.data.get("seconds")
            if not isinstance(lasted, int | float) or not now.is_open(stored.event.at):
                continue
            if is_complete(stored.event):
                seconds.append(float(lasted))
            else:
                cut += 1
    seconds.sort()
    longer_than: timedelta = getattr(rule, "longer_than", None) or timedelta()
    return Stays(
        visits=len(seconds),
        shortest_s=longer_than.total_seconds(),
        median_s=quantile(seconds, 0.5),
        p90_s=quantile(seconds, 0.9),
        longest_s=seconds[-1] if seconds else None,
        cut_short=cut,
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies, between the two nearest; None without any."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _gaps(inside: Sequence[Bucket], now: OpenSpan) -> Iterator[tuple[float, float]]:
    """Stretches of open time of which too little is known, the longest first."""
    known = {m.minute for m in inside if m.coverage >= _GAP_COVERAGE}
    found: list[tuple[float, float]] = []
    for opening in now.openings:
        since: float | None = None
        at = max(opening.since, now.since) // BUCKET_S * BUCKET_S
        end = min(opening.until, now.until)
        while at < end:
            if int(at) in known:
                if since is not None and at - since >= _GAP_S:
                    found.append((since, at))
                since = None
            elif since is None:
                since = at
            at += BUCKET_S
        if since is not None and end - since >= _GAP_S:
            found.append((since, end))
    found.sort(key=lambda gap: (gap[0] - gap[1], gap[0]))
    return iter(found[:_MOST_GAPS])


def _inside(
    history: History, calendar: _Calendar, deployment: Deployment, rules: Sequence[RuleNumbers]
) -> TimeInStore:
    """How long people stayed on the days that are over and known at every door."""
    doors = [rule for rule in rules if rule.is_door]
    days: list[StoreDay | None] = []
    for i, (begins, ends) in enumerate(pairwise(calendar.begins)):
        known = all((door.coverage_by_day[i] or 0.0) >= ENOUGH for door in doors)
        if not known or ends > calendar.now.until:
            days.append(None)
            continue
        counted: dict[str, list[list[tuple[int, float | None]]]] = {_IN: [], _OUT: []}
        for door in doors:
            rule = deployment.cameras[door.camera].rules[door.rule]
            minutes = list(minutes_of(history, door.camera, door.rule, begins, ends))
            for name, found in counted.items():
                measure = next(one for one in rule.measures if one.name == name)
                found.append([(one.minute, measure.of([one])) for one in minutes])
        days.append(store_day(by_minute(counted[_IN]), by_minute(counted[_OUT])))
    return time_in_store(days)


@dataclass(frozen=True, slots=True)
class SoldIn:
    """What was sold in parts of a period."""

    sales: Sales
    hours: OpeningHours

    def between(
        self, span: OpenSpan, since: float, until: float, came_in: float | None
    ) -> SoldFigures:
        """What was sold from `since` to `until`, UTC seconds, in the opening times of a span.

        `came_in` is how many people did; None where that is not known.
        """
        opened = [one for one in span.openings if one.until > since and one.since < until]
        # A file says nothing of days before its first row and after its last one.
        if not self.sales.rows or not opened:
            return SoldFigures(None, None, None)
        first, last = (self.hours.day_of(self.sales.rows[i].at) for i in (0, -1))
        reach = self.hours.begins(first), self.hours.begins(last + timedelta(days=1))
        if max(since, opened[0].since) < reach[0] or min(until, opened[-1].until) > reach[1]:
            return SoldFigures(None, None, None)
        rows = [one for one in self.sales.between(since, until) if span.is_open(one.at)]
        transactions = sum(one.count for one in rows)
        conversion = transactions / came_in if came_in else None
        return SoldFigures(transactions, _amount(rows), conversion)


def _sold(
    sales: Sales,
    hours: OpeningHours,
    calendar: _Calendar,
    before: OpenSpan,
    rules: Sequence[RuleNumbers],
) -> SalesNumbers:
    now, doors = calendar.now, [rule for rule in rules if rule.is_door]
    sold = SoldIn(sales, hours).between
    total = over_doors(doors, _IN)
    entered = total.value if total is not None and total.is_complete else None
    entered_before = None
    if total is not None and total.coverage_before >= ENOUGH:
        entered_before = total.before
    by_day = []
    for i, begins in enumerate(calendar.begins[:-1]):
        known = all((door.coverage_by_day[i] or 0.0) >= ENOUGH for door in doors)
        values = [one.by_day[i] for door in doors if (one := door.figure(_IN))] if known else []
        by_day.append(sold(now, begins, min(calendar.begins[i + 1], now.until), added(values)))
    whole = sales.between(now.since, now.until)
    return SalesNumbers(
        total=sold(now, now.since, now.until, entered),
        before=sold(before, before.since, before.until, entered_before),
        by_day=tuple(by_day),
        outside=sum(one.count for one in whole if not now.is_open(one.at)),
        unused=sales.unused,
    )


def _captured(
    deployment: Deployment,
    calendar: _Calendar,
    rules: CaptureRules | None,
    found: Mapping[Place, RuleNumbers],
) -> CaptureNumbers | None:
    if rules is None or not {*rules.entered, *rules.passed} <= found.keys():
        return None
    both = [found[place] for place in (*rules.entered, *rules.passed)]
    came = [one for place in rules.entered if (one := found[place].figure(_IN)) is not None]
    went_by = [
        one
        for camera, name in rules.passed
        for measure in passing_measures(deployment.cameras[camera].rules[name])
        if (one := found[camera, name].figure(measure)) is not None
    ]
    by_day = []
    for i in range(len(calendar.days)):
        shares = [one.coverage_by_day[i] for one in both]
        known = min((share for share in shares if share is not None), default=None)
        counted = [one.by_day[i] for one in came], [one.by_day[i] for one in went_by]
        by_day.append(CaptureFigures.of(*counted, known))
    return CaptureNumbers(
        rules,
        CaptureFigures.of(
            [one.total.value for one in came],
            [one.total.value for one in went_by],
            min(one.coverage for one in both) if calendar.now.open_minutes else None,
        ),
        CaptureFigures.of(
            [one.total.before for one in came],
            [one.total.before for one in went_by],
            min(one.coverage_before for one in both),
        ),
        tuple(by_day),
    )


def _amount(rows: Sequence[Sale]) -> float | None:
    amounts = [one.amount for one in rows if one.amount is not None]
    return sum(amounts) if amounts else None


def _quality(history: History, camera: str, span: Span) -> CameraQuality:
    states = Counter(health.state for health in history.health(camera, span))
    return CameraQuality(camera, dict(sorted(states.items())))


def _audited(audits: Audits, rules: Sequence[RuleNumbers], until: float) -> Iterator[Audit]:
    """The last one of each rule; one of time after the period says nothing about it."""
    for rule in rules:
        found = [
            (audit.judged_at, audit.until, audit)
            for audit in audits.audits(rule.camera, rule.rule)
            if audit.judged_at is not None and audit.since < until
        ]
        if found:
            yield max(found, key=lambda one: one[:2])[2]
