"""What a report says, in words and numbers ready to be set: the same for HTML, PDF and CSV."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.audits import AuditFigure
from pipeline.core.local_time import local_time
from pipeline.reports.figures import (
    CaptureFigures,
    Compared,
    MeasuredFigure,
    RuleNumbers,
    SiteReport,
    SoldFigures,
    over_doors,
)
from pipeline.reports.periods import day_name

SHARE_UNIT = "share of the time"
UNKNOWN = "unknown"
_MOST_EDITS = 40


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the numbers of the first page."""

    label: str
    value: str
    note: str = ""
    """What stands below it: a comparison, or why there is none."""
    tone: str = "plain"
    """up, down, warn or plain: how the note is shown."""


@dataclass(frozen=True, slots=True)
class PageColumn:
    """A column of a table."""

    heading: str
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts."""

    columns: Sequence[PageColumn]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class HeatCell:
    """An hour: how it is shaded, what it says, and what a reader hears about it."""

    kind: str
    """closed, ahead, unknown, partial or known."""
    share: float
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A map of days and hours."""

    title: str
    hours: Sequence[str]
    days: Sequence[str]
    rows: Sequence[Sequence[HeatCell]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in a chart."""

    label: str
    value: float | None
    text: str
    coverage: float | None
    """None where the site is closed or the day has not begun."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    title: str
    about: str = ""
    bars: Sequence[Bar] = ()
    heats: Sequence[Heat] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A report in the order in which it is read."""

    site: str
    title: str
    subtitle: str
    headlines: Sequence[Headline]
    remarks: Sequence[str]
    sections: Sequence[Section]
    footer: str


def laid_out(report: SiteReport) -> ReportPage:
    """The report in words and numbers."""
    zone = report.site.timezone
    subtitle = report.period.title
    if report.is_to_date:
        subtitle += f", up to {_moment(report.until, zone)}"
    remarks = list(_remarks(report))
    sections = [
        *_doors(report),
        *_sales(report),
        *_capture(report),
        *_others(report),
        _quality(report),
        _definitions(report),
    ]
    return ReportPage(
        site=report.site.name,
        title=f"{report.period.kind.capitalize()} report",
        subtitle=subtitle,
        headlines=list(_headlines(report))[:5],
        remarks=remarks,
        sections=sections,
        footer=f"{report.site.name} · {report.period.name} · times are of {zone}",
    )


def number(value: float | None, decimals: int = 0) -> str:
    """A number for readers; what is not known is said to be."""
    if value is None:
        return UNKNOWN
    return f"{value:,.{decimals}f}"


def percent(share: float | None) -> str:
    """A share; never rounded up to all of it."""
    if share is None:
        return UNKNOWN
    whole = int(share * 1000 + 1e-9) / 10
    return f"{whole:.0f} %" if whole in (0, 100) else f"{whole:.1f} %"


def duration(seconds: float | None) -> str:
    """A length of time for readers."""
    if seconds is None:
        return UNKNOWN
    total = round(seconds)
    if total < 60:
        return f"{seconds:.1f} s" if total < 10 else f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"


def compared(report: SiteReport, figure: Compared) -> tuple[str, str]:
    """A sentence about a comparison, and its tone."""
    name = report.period.before_name + (", as far as this" if report.is_to_date else "")
    if figure.value is None:
        return "nothing of it is known", "warn"
    if figure.coverage < 0.9:
        return f"incomplete: {percent(figure.coverage)} of open time is known", "warn"
    if figure.before is None:
        return f"no figures of the {name}", "plain"
    if not figure.is_comparable:
        known = percent(figure.coverage_before)
        return f"not compared: of the {name} only {known} is known", "warn"
    if figure.change is None:
        return f"{number(figure.before)} the {name}", "plain"
    tone = "up" if figure.change > 0.0005 else "down" if figure.change < -0.0005 else "plain"
    return f"{_change(figure.change)} to {number(figure.before)} the {name}", tone


def _headlines(report: SiteReport) -> Iterator[Headline]:
    for label, name in (("Came in", "entered"), ("Went out", "left")):
        total = over_doors(report.doors, name)
        if total is not None:
            yield Headline(label, number(total.value), *compared(report, total))
    busiest = _busiest(report)
    if busiest is not None:
        yield busiest
    yield from _staying(report)
    if report.coverage is not None:
        before = report.coverage_before
        tone = "plain" if report.coverage >= 0.9 else "warn"
        note = f"of {number(report.open_minutes / 60, 1)} open hours"
        if before:
            note += f"; {percent(before)} the {report.period.before_name}"
        yield Headline("Known", percent(report.coverage), note, tone)
    for rule in report.rules:
        for figure in rule.measures:
            if not rule.is_door and figure.measure.over_time in ("max", "sum"):
                label = f"{figure.heading.capitalize()}, {rule.rule}"
                value = number(figure.total.value)
                yield Headline(label, value, *compared(report, figure.total))


def _staying(report: SiteReport) -> Iterator[Headline]:
    """How long people stayed: in a zone that measures it, and by the doors."""
    stays = [rule for rule in report.rules if rule.stays is not None and rule.stays.visits]
    for rule in stays[:1]:
        if rule.stays is not None:
            note = f"{number(rule.stays.visits)} visits of {_name(rule)}"
            if rule.stays.shortest_s:
                note += f" that lasted {duration(rule.stays.shortest_s)} or longer"
            note += f"; 9 of 10 stayed less than {duration(rule.stays.p90_s)}"
            yield Headline("Median stay", duration(rule.stays.median_s), note)
    inside = report.inside
    if inside is not None and inside.mean_s is not None:
        note = (
            "estimated from the doors, by those who came in and went out: "
            f"{duration(inside.least_s)} to {duration(inside.most_s)}; of "
            f"{inside.days} of {len(report.period.days)} days"
        )
        yield Headline("Time in the store", duration(inside.mean_s), note)


def _busiest(report: SiteReport) -> Headline | None:
    if not report.doors:
        return None
    counts: list[tuple[float, int, str, str]] = []
    if report.period.kind == "day":
        for i, hour in enumerate(report.hour_names):
            cells = [rule.heat[0][i] for rule in report.doors]
            total = sum(cell.value for cell in cells if cell.value is not None)
            if all(cell.value is not None for cell in cells):
                counts.append((total, -i, f"{hour}:00", "in that hour"))
    else:
        for i, day in enumerate(report.period.days):
            values = [one.by_day[i] for rule in report.doors if (one := rule.figure("entered"))]
            if values and all(value is not None for value in values):
                total = sum(value for value in values if value is not None)
                counts.append((total, -i, day_name(day), "that day"))
    if not counts or max(counts)[0] == 0:
        return None
    total, _, name, when = max(counts)
    which = "Busiest hour" if report.period.kind == "day" else "Busiest day"
    return Headline(which, name, f"{number(total)} came in {when}")


def _remarks(report: SiteReport) -> Iterator[str]:
    for day in report.period.days:
        holiday = report.hours.holiday(day)
        if holiday is not None:
            is_closed = report.hours.are_known and not report.hours.hours_of(day)
            yield f"{day_name(day)}: {holiday}{', closed' if is_closed else ''}."
    if not report.rules:
        yield "No rule of this site measures anything yet."
    elif report.coverage == 0:
        yield (
            "Nothing is known of this period: no picture of it was judged, or it is older than "
            "what the store keeps."
        )
    elif report.coverage is not None and report.coverage < 0.9:
        yield (
            f"Of the open time only {percent(report.coverage)} is known, so totals are lower than "
            "what happened. The section on quality says what is missing."
        )
    if report.open_minutes == 0:
        yield "The site was not open in this period."


def _doors(report: SiteReport) -> Iterator[Section]:
    if not report.doors:
        return
    entered = [one for rule in report.doors if (one := rule.figure("entered"))]
    bars = []
    for i, day in enumerate(report.period.days):
        value = added_up([one.by_day[i] for one in entered])
        shares = [rule.coverage_by_day[i] for rule in report.doors]
        coverage = min((share for share in shares if share is not None), default=None)
        bars.append(Bar(day_name(day), value, number(value), coverage))
    columns = [
        PageColumn("door", is_number=False),
        PageColumn("in"),
        PageColumn("out"),
        PageColumn("in, before"),
        PageColumn("change"),
        *([PageColumn("in, closed hours")] if report.hours.are_known else []),
        PageColumn("known"),
    ]
    rows = [_door_row(rule, shows_closed=report.hours.are_known) for rule in report.doors]
    yield Section(
        "Doors",
        "People who came in and went out while the site was open.",
        bars if len(bars) > 1 else (),
        [_heat(report, rule) for rule in report.doors],
        [Table(columns, rows)],
    )


def _sales(report: SiteReport) -> Iterator[Section]:
    sales = report.sales
    if sales is None:
        return
    rows = [
        _sold_row(day_name(day), one)
        for day, one in zip(report.period.days, sales.by_day, strict=True)
        if one.transactions is not None
    ]
    rows.append(_sold_row("all of it", sales.total))
    rows.append(_sold_row(report.period.before_name, sales.before))
    columns = [
        PageColumn("time", is_number=False),
        PageColumn("transactions"),
        PageColumn("conversion"),
        PageColumn("amount"),
        PageColumn("per transaction"),
    ]
    about = (
        "What the till sold while the site was open. Conversion is transactions by those who came "
        "in: unknown where less than 90 % of the time of a door is known, or the file of sales "
        "does not reach."
    )
    if sales.outside:
        about += f" Outside of opening hours there were {number(sales.outside)} transactions."
    if sales.unused:
        about += f" Columns of the file that are not used: {', '.join(sales.unused)}."
    yield Section("Sales", about, tables=[Table(columns, rows)])


def _capture(report: SiteReport) -> Iterator[Section]:
    capture = report.capture
    if capture is None:
        return
    rows = [
        _captured_row(day_name(day), one)
        for day, one in zip(report.period.days, capture.by_day, strict=True)
        if one.known is not None
    ]
    rows.append(_captured_row("all of it", capture.total))
    rows.append(_captured_row(report.period.before_name, capture.before))
    columns = [
        PageColumn("time", is_number=False),
        PageColumn("passed by"),
        PageColumn("came in"),
        PageColumn("capture rate"),
        PageColumn("known"),
    ]
    doors, outside = (
        ", ".join("/".join(one) for one in places)
        for places in (capture.rules.entered, capture.rules.passed)
    )
    about = (
        "Who came in of those who passed by outside, while the site was open: those whom "
        f"{doors} counted in, by those whom {outside} counted. Unknown where less than 90 % of the "
        "time of one of them is known; where nobody passed by, there is no rate."
    )
    yield Section("Capture rate", about, tables=[Table(columns, rows)])


def _captured_row(name: str, one: CaptureFigures) -> list[str]:
    rate = "nobody passed by" if one.is_without_passers else percent(one.rate)
    return [name, number(one.passed), number(one.entered), rate, percent(one.known)]


def _sold_row(name: str, sold: SoldFigures) -> list[str]:
    return [
        name,
        number(sold.transactions),
        percent(sold.conversion),
        number(sold.amount, 2),
        number(sold.per_transaction, 2),
    ]


def added_up(values: Sequence[float | None]) -> float | None:
    """A sum; None where a part is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _door_row(rule: RuleNumbers, *, shows_closed: bool) -> list[str]:
    entered, left = rule.figure("entered"), rule.figure("left")
    if entered is None or left is None:
        return []
    total = entered.total
    change = "not compared" if total.change is None else _change(total.change)
    return [
        _name(rule),
        number(total.value),
        number(left.total.value),
        number(total.before),
        change,
        *([number(entered.outside)] if shows_closed else []),
        percent(rule.coverage),
    ]


def _others(report: SiteReport) -> Iterator[Section]:
    """A section for each kind of rule: its measures are its columns."""
    titles = dict.fromkeys(r.title for r in report.rules if not r.is_door and r.measures)
    for title in titles:
        rules = [r for r in report.rules if r.title == title and not r.is_door and r.measures]
        names = dict.fromkeys(one.heading for rule in rules for one in rule.measures)
        has_stays = any(rule.stays is not None for rule in rules)
        columns = [PageColumn("camera and rule", is_number=False)]
        columns += [PageColumn(name) for name in names]
        if has_stays:
            columns += [
                PageColumn("median stay"),
                PageColumn("9 of 10 below"),
                PageColumn("cut short"),
            ]
        columns += [PageColumn("events"), PageColumn("known")]
        rows = []
        for rule in rules:
            by_name = {one.heading: one for one in rule.measures}
            row = [_name(rule)]
            for name in names:
                figure = by_name.get(name)
                if figure is None:
                    row.append("")
                    continue
                row.append(_total(figure))
            if has_stays:
                stays = rule.stays
                row += [
                    duration(stays.median_s if stays else None),
                    duration(stays.p90_s if stays else None),
                    number(_if_seen(rule, stays.cut_short) if stays else None),
                ]
            row += [number(_if_seen(rule, rule.events)), percent(rule.coverage)]
            rows.append(row)
        heats = [_heat(report, rule) for rule in rules]
        yield Section(title.capitalize(), "", (), heats, [Table(columns, rows)])
    quiet = [rule for rule in report.rules if not rule.measures]
    if quiet:
        columns = [PageColumn("camera and rule", is_number=False), PageColumn("events")]
        rows = [[_name(rule), number(rule.events)] for rule in quiet]
        yield Section(
            "Events",
            "Happenings of rules that count nothing by the minute.",
            (),
            (),
            [Table(columns, rows)],
        )


def _if_seen(rule: RuleNumbers, happenings: int) -> int | None:
    """How often something happened; unknown where nothing was seen, and so nothing could be."""
    return happenings if happenings or rule.coverage > 0 else None


def _total(figure: MeasuredFigure) -> str:
    if figure.measure.unit == SHARE_UNIT:
        return percent(figure.total.value)
    return number(figure.total.value, 2 if figure.measure.over_time == "mean" else 0)


def _heat(report: SiteReport, rule: RuleNumbers) -> Heat:
    figure = rule.measures[0]
    values = [cell.value for row in rule.heat for cell in row if cell.value is not None]
    most = max(values, default=0.0)
    decimals = 1 if figure.measure.over_time == "mean" else 0
    days = [day_name(day) for day in report.period.days]
    rows = []
    for i, row in enumerate(rule.heat):
        cells = []
        for hour, cell in zip(report.hour_names, row, strict=True):
            place = f"{days[i]}, {hour}:00"
            if not cell.is_open:
                is_ahead = report.is_to_date and report.open_minutes_by_day[i] == 0
                word = "not yet" if is_ahead else "closed"
                cells.append(HeatCell("closed", 0.0, "", f"{place}: {word}"))
            elif cell.value is None:
                cells.append(HeatCell("unknown", 0.0, "?", f"{place}: unknown"))
            else:
                kind = "known" if cell.coverage >= 0.9 else "partial"
                share = cell.value / most if most else 0.0
                text = number(cell.value, decimals)
                about = f"{place}: {text} {figure.measure.unit}, {percent(cell.coverage)} known"
                cells.append(HeatCell(kind, share, text, about))
        rows.append(cells)
    title = f"{_name(rule)}: {figure.heading} by hour"
    return Heat(title, report.hour_names, days, rows)


def _quality(report: SiteReport) -> Section:
    zone = report.site.timezone
    measured = [rule for rule in report.rules if rule.measures]
    coverage = Table(
        [
            PageColumn("camera and rule", is_number=False),
            PageColumn("known of open time"),
            PageColumn("before"),
            PageColumn("longest gap"),
            PageColumn("gaps"),
        ],
        [
            [
                _name(rule),
                percent(rule.coverage if report.open_minutes else None),
                percent(rule.coverage_before),
                duration(rule.gaps[0][1] - rule.gaps[0][0]) if rule.gaps else "none",
                number(len(rule.gaps)),
            ]
            for rule in measured
        ],
    )
    tables = [coverage]
    gaps = sorted({(*gap, rule.camera) for rule in measured for gap in rule.gaps})
    if gaps:
        tables.append(
            Table(
                [
                    PageColumn("missing from", is_number=False),
                    PageColumn("to", is_number=False),
                    PageColumn("length"),
                    PageColumn("camera", is_number=False),
                ],
                [
                    [_moment(since, zone), _moment(until, zone), duration(until - since), camera]
                    for since, until, camera in gaps[:20]
                ],
            )
        )
    if report.doors:
        tables.append(_drift(report))
    states = [
        [one.camera, state, number(times)]
        for one in report.cameras
        for state, times in one.states.items()
    ]
    if states:
        tables.append(
            Table(
                [
                    PageColumn("camera", is_number=False),
                    PageColumn("state", is_number=False),
                    PageColumn("times"),
                ],
                states,
            )
        )
    apart = [rule for rule in report.rules if rule.rejected or rule.superseded]
    if apart:
        columns = [
            PageColumn("camera and rule", is_number=False),
            PageColumn("events"),
            PageColumn("rejected"),
            PageColumn("of an earlier judging"),
        ]
        rows = [
            [_name(r), number(r.events), number(r.rejected), number(r.superseded)] for r in apart
        ]
        tables.append(Table(columns, rows))
    if report.edits:
        columns = [
            PageColumn("edited", is_number=False),
            PageColumn("camera and rule", is_number=False),
            PageColumn("what", is_number=False),
        ]
        rows = [
            [
                _moment(one.at, zone),
                f"{one.camera} · {one.rule}",
                one.changed or ("edited" if one.kind == "edited" else f"the rule was {one.kind}"),
            ]
            for one in report.edits[-_MOST_EDITS:]
        ]
        tables.append(Table(columns, rows))
    if report.audits:
        tables.append(_audits(report))
    about = "How much of the open time is known, and what can be wrong with the rest. "
    about += (
        "Where a person has counted a sample of clips, the last audit says how far the counts are "
        "right, with 95 % intervals."
        if report.audits
        else "No rule was audited by a person."
    )
    if report.edits:
        about += (
            " Rules were edited in this period or the one before: a count that jumps there may be "
            "counted differently."
        )
    return Section("Quality", about, tables=tables)


def _audits(report: SiteReport) -> Table:
    """How far counts are right, as far as a person has looked."""
    zone = report.site.timezone
    rows = [
        [
            f"{audit.camera} · {name}",
            f"{_moment(audit.since, zone)} to {_moment(audit.until, zone)}",
            number(found.counted),
            _interval(found.true, number),
            _interval(found.accuracy, percent),
            _interval(found.recall, percent),
            _interval(found.precision, percent),
            number(found.judged),
        ]
        for audit in report.audits
        for name, found in audit.parts().items()
    ]
    columns = [
        PageColumn("audited", is_number=False),
        PageColumn("time", is_number=False),
        PageColumn("counted"),
        PageColumn("were there"),
        PageColumn("counted of those there"),
        PageColumn("found"),
        PageColumn("right"),
        PageColumn("clips"),
    ]
    return Table(columns, rows)


def _interval(figure: AuditFigure | None, written: Callable[[float | None], str]) -> str:
    if figure is None:
        return UNKNOWN
    return f"{written(figure.value)} ({written(figure.low)} to {written(figure.high)})"


def _drift(report: SiteReport) -> Table:
    """Who came in and did not go out, by day: what is not zero was missed, or is still inside."""
    rows = []
    for i, day in enumerate(report.period.days):
        if report.open_minutes_by_day[i] == 0:
            continue
        entered = added_up([f.by_day[i] for r in report.doors if (f := r.figure("entered"))])
        left = added_up([f.by_day[i] for r in report.doors if (f := r.figure("left"))])
        if entered is None or left is None:
            rows.append([day_name(day), number(entered), number(left), UNKNOWN, UNKNOWN])
            continue
        net = entered - left
        share = f"{abs(net) / entered:.1%}".replace("%", " %") if entered else ""
        rows.append([day_name(day), number(entered), number(left), _signed(f"{net:+,.0f}"), share])
    columns = [
        PageColumn("day", is_number=False),
        PageColumn("in"),
        PageColumn("out"),
        PageColumn("net at closing"),
        PageColumn("of those who came in"),
    ]
    return Table(columns, rows)


def _definitions(report: SiteReport) -> Section:
    zone = report.site.timezone
    hours = (
        "always"
        if not report.site.hours
        else "; ".join(f"{days} {text}" for days, text in report.site.hours.items())
    )
    if report.site.country:
        hours += f"; public holidays of {report.site.country}: closed unless given"
    rows = [
        ["Open", f"{hours}. Time of {zone}. What runs past midnight belongs to the day before."],
        [
            "Known",
            "The share of open time that answered pictures cover. The rest is unknown, and "
            "never counted as zero.",
        ],
        [
            "Came in, went out",
            "Crossings of the lines of all doors while open. One person who "
            "comes twice counts twice; staff count too unless a rule leaves them out.",
        ],
        [
            "Change",
            "Against the same time a week, or a month, before. Shown only where at least "
            "90 % of both is known; a running period is compared up to the same moment.",
        ],
        [
            "Stay",
            "From entering a zone to leaving it. Visits whose end was not seen are counted "
            "as cut short, and are not in the median. Nor are visits shorter than a rule's "
            "`longer_than`, of which only the number is kept.",
        ],
        [
            "Event",
            "Something a rule reported. What a second look has rejected is no event, nor what only "
            "an earlier judging of a recording reported: both are listed apart. What is counted by "
            "the minute does not wait for a second look, and has what is rejected in it.",
        ],
        [
            "Net at closing",
            "Came in less went out. Unless somebody stayed inside, it is what was missed.",
        ],
        [
            "Audited",
            "A person counted a random sample of clips. Counted of those there: what was counted "
            "against what was there; found: how many of those there were counted; right: how many "
            "of those counted were there. In brackets is the 95 % interval.",
        ],
        ["Gap", "Open time of 5 minutes or more of which less than half is known."],
    ]
    seen: dict[str, str] = {}
    for rule in report.rules:
        for one in rule.measures:
            adds = "sum" if one.measure.over_time == "sum" else f"{one.measure.over_time} over time"
            seen.setdefault(f"{one.heading} ({rule.type})", f"{one.measure.unit}, {adds}.")
    rows += [[name.capitalize(), about] for name, about in seen.items()]
    columns = [PageColumn("word", is_number=False), PageColumn("meaning", is_number=False)]
    return Section("Definitions", "", tables=[Table(columns, rows)])


def _change(share: float) -> str:
    return _signed(f"{share * 100:+.1f} %")


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _name(rule: RuleNumbers) -> str:
    return f"{rule.camera} · {rule.rule}"


def _moment(at: float, zone: str) -> str:
    return local_time(at, zone)[:16].replace("T", " ")
