"""Numbers over time, and as files."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from pipeline.core.errors import MoonwatchError
from pipeline.core.store import Span
from pipeline.reports.export import counts
from pipeline.reports.writing import WRITERS
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.numbers.before import NumbersBefore, counts_beside, numbers_before
from pipeline.web.numbers.captured import SiteCapture, sites_captured
from pipeline.web.numbers.choosing import (
    ChosenTime,
    RuleName,
    StepName,
    check_size,
    chosen_rules,
    chosen_time,
    counting,
    narrowed,
    newest_number,
    usual_step,
)
from pipeline.web.numbers.files import FILE_FORMATS, FileFormat, missing_formats, sent_file
from pipeline.web.numbers.series import (
    EditMark,
    RuleSeries,
    SeriesWish,
    SiteGrid,
    SiteSeries,
    edit_marks,
    outside_of,
    rule_series,
    site_grid,
    site_sums,
)
from pipeline.web.numbers.sold import SiteSold, sites_sold
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["numbers"])

Cameras = Annotated[
    list[str] | None, Query(alias="camera", description="All rules of this camera.", max_length=64)
]
Rules = Annotated[
    list[str] | None, Query(alias="rule", description="A rule, as CAMERA/RULE.", max_length=64)
]
First = Annotated[date | None, Query(description="The first business day.")]
Last = Annotated[date | None, Query(description="The last business day.")]
SinceSeconds = Annotated[float | None, Query(description="UTC seconds, instead of days.")]
UntilSeconds = Annotated[float | None, Query(description="UTC seconds.")]
StepOf = Annotated[StepName | None, Query(description="Length of a step; chosen if left out.")]
Measures = Annotated[
    list[str] | None, Query(alias="measure", description="Only these measures.", max_length=64)
]
WithBefore = Annotated[
    bool, Query(description="Whether the time before is beside it: the week or month before.")
]


class MeasureName(BaseModel):
    """A measure that can be chosen."""

    name: str
    heading: str
    unit: str


class CountingRule(BaseModel):
    """A rule that can be chosen."""

    camera: str
    rule: str
    site: str
    type: str
    measures: list[MeasureName]


class NumbersAnswer(BaseModel):
    """Numbers of several rules over one period."""

    now: float
    first: str | None
    """The first business day, where the period consists of such."""
    last: str | None
    since: float
    until: float
    step: StepName
    only_open: bool
    newest: float | None
    """When the last known minute of these rules began."""
    sites: list[SiteGrid]
    series: list[RuleSeries]
    sums: list[SiteSeries]
    sold: list[SiteSold]
    """Of the sites of these rules that have a file of sales, and a door among these rules."""
    captured: list[SiteCapture]
    """Of the sites that say who passes by, and have a rule of that among these."""
    edits: list[EditMark]
    before: NumbersBefore | None
    """The time before, where it was asked for."""
    there: list[CountingRule]
    """All rules that could be chosen."""
    missing_formats: dict[str, str]
    """The formats of files that cannot be written, and the package that each lacks."""


@router.get("/numbers")
def numbers(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)],
    state: State,
    camera: Cameras = None,
    rule: Rules = None,
    first: First = None,
    last: Last = None,
    since: SinceSeconds = None,
    until: UntilSeconds = None,
    step: StepOf = None,
    measure: Measures = None,
    only_open: Annotated[bool, Query(description="Leave out what is not opening time.")] = False,
    before: WithBefore = False,
) -> NumbersAnswer:
    """What rules have measured, step by step, with how much of it is known."""
    with state.heavy.turn(visitor.name):
        rules, time, step, newest = _chosen(
            visitor, state, camera, rule, first, last, since, until, step, before
        )
        deployment, history = state.deployment, state.store.history
        now = state.clock.now()
        wish = SeriesWish(rules, time, step, frozenset(measure or ()), only_open)
        series = [
            rule_series(deployment, history, state.store.audits, one, wish, now) for one in rules
        ]
        sites = {one.name: one for one in (deployment.site_of(name.camera) for name in rules)}
        return NumbersAnswer(
            now=now,
            first=None if time.first is None else time.first.isoformat(),
            last=None if time.last is None else time.last.isoformat(),
            since=time.since,
            until=time.until,
            step=step,
            only_open=only_open,
            newest=newest,
            sites=[site_grid(site, wish, now) for site in sites.values()],
            series=series,
            sums=site_sums(series, outside_of(deployment)),
            sold=sites_sold(deployment, history, visitor, wish, now),
            captured=sites_captured(deployment, history, visitor, wish, now),
            edits=edit_marks(history, rules, time),
            before=numbers_before(deployment, history, state.store.audits, wish, now)
            if before
            else None,
            there=_there(visitor, state),
            missing_formats=missing_formats(),
        )


@router.get("/numbers/file", response_class=StreamingResponse)
def numbers_file(
    visitor: Annotated[Visitor, needs(Permission.MEASURE)],
    state: State,
    camera: Cameras = None,
    rule: Rules = None,
    first: First = None,
    last: Last = None,
    since: SinceSeconds = None,
    until: UntilSeconds = None,
    step: StepOf = None,
    form: Annotated[FileFormat, Query(alias="format")] = "csv",
    before: WithBefore = False,
) -> StreamingResponse:
    """The same as a file: what `moonwatch export` writes of these rules, and the time before."""
    with state.heavy.turn(visitor.name):
        rules, time, step, _ = _chosen(
            visitor, state, camera, rule, first, last, since, until, step, before
        )
        deployment, history = narrowed(state.deployment, rules), state.store.history
        if before:
            wish = SeriesWish(rules, time, step)
            export = counts_beside(state.deployment, history, rules, wish, state.clock.now())
        else:
            span = Span(time.since, time.until)
            export = counts(deployment, history, step, span, list(deployment.cameras))
        said = f"{time.first or time.since:} to {time.last or time.until:}, step {step}, {form}"
        subject = ", ".join(f"{one.camera}/{one.rule}" for one in rules)
        state.journal.note(visitor, "exported numbers", subject, said)
        name = (
            f"numbers-{time.first or int(time.since)}-{time.last or int(time.until)}-{step}.{form}"
        )
        try:
            return sent_file(name, FILE_FORMATS[form], lambda file: WRITERS[form](export, file))
        except MoonwatchError as error:
            if type(error) is MoonwatchError:  # a package is missing
                raise WebError(501, str(error), place="format") from error
            raise


def _chosen(
    visitor: Visitor,
    state: WebState,
    cameras: list[str] | None,
    rules: list[str] | None,
    first: date | None,
    last: date | None,
    since: float | None,
    until: float | None,
    step: StepName | None,
    with_before: bool,
) -> tuple[list[RuleName], ChosenTime, StepName, float | None]:
    deployment = state.deployment
    found = chosen_rules(deployment, visitor, cameras or [], rules or [])
    newest = newest_number(state.store.history, found)
    now = state.clock.now()
    site = deployment.site_of(found[0].camera) if found else deployment.site
    time = chosen_time(site, first, last, since, until, min(now, newest or now))
    step = step or usual_step(time.days)
    check_size(time, step, len(found), with_before=with_before)
    return found, time, step, newest


def _there(visitor: Visitor, state: WebState) -> list[CountingRule]:
    deployment = state.deployment
    found = []
    for one in counting(deployment, visitor):
        rule = deployment.cameras[one.camera].rules[one.rule]
        measures = [
            MeasureName(
                name=m.name,
                heading=(m.column.heading or m.column.name) if m.column else m.name,
                unit=m.unit,
            )
            for m in rule.recorded()
        ]
        found.append(
            CountingRule(
                camera=one.camera,
                rule=one.rule,
                site=deployment.site_of(one.camera).name,
                type=rule.type,
                measures=measures,
            )
        )
    return found
