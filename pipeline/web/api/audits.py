"""Counting by hand: what is to be judged is drawn, shown clip by clip, and becomes an accuracy.

Until an audit is closed nothing of what the rule has counted is told.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pipeline.core.audits import Audit, AuditFigure, AuditFigures, AuditVerdict
from pipeline.core.errors import ConfigError
from pipeline.core.store import Span
from pipeline.deployment.model import Deployment
from pipeline.insight.auditing import judged, new_audit, plan_from
from pipeline.render.audit_drawing import (
    AuditFootage,
    AuditWish,
    planned_audit,
    terms_of,
)
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.caching import kept_for
from pipeline.web.counting.clips import AuditClips
from pipeline.web.events.files import LooksNoted, file_answer
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["audits"])
_Counter = Annotated[Visitor, needs(Permission.REVIEW)]
_Reader = Annotated[Visitor, needs(Permission.MEASURE)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Number = Annotated[int, Field(ge=0, le=999)]
_Moment = Annotated[float, Field(ge=0, le=1e11)]
_looks = LooksNoted()
_DAY_S: Final = 86_400.0
_LONGEST_DAYS: Final = 92
_MOST_OPEN: Final = 10
_MOST_SPANS: Final = 200
_JOINED_WITHIN_S: Final = 2.0


class CountableRule(BaseModel):
    """A rule that may be counted by hand."""

    camera: str
    rule: str
    type: str
    what: str
    """What is counted, such as person."""
    terms: list[str]
    """Of a rule without directions: by which terms, such as "longer than 10s"."""
    has_directions: bool
    """Whether in and out are counted apart."""
    why_not: str | None
    """Why it cannot be counted; None where it can."""


class FootageSpan(BaseModel):
    """A time of which there are pictures, in UTC seconds."""

    since: float
    until: float


class Footage(BaseModel):
    """What there is to look at of a camera."""

    is_recording: bool
    """Of a live camera there is only what its events have kept: what was missed is unknown."""
    spans: list[FootageSpan]
    """The oldest first; empty of a live camera."""
    timezone: str


class CountWish(BaseModel):
    """What is to be counted by hand."""

    camera: _Name
    rule: _Name
    since: _Moment
    until: _Moment
    samples: Annotated[int, Field(ge=1, le=100)] = 20
    """How many clips with, and how many without, events; at most."""
    clip_s: Annotated[float, Field(ge=8, le=120)] = 20.0


class Tally(BaseModel):
    """What a person counted in a clip: by direction, or as one number; nothing of either where it
    cannot be told.
    """

    inwards: _Number | None = None
    outwards: _Number | None = None
    number: _Number | None = None


class CountClip(BaseModel):
    """A clip, and what was said of it."""

    name: str
    is_judged: bool
    tally: Tally | None
    """None where nothing was said yet."""


class OpenCount(BaseModel):
    """A count that is not done: what is to be looked at, and nothing of what was counted."""

    id: str
    camera: str
    rule: str
    type: str
    what: str
    terms: list[str]
    has_directions: bool
    since: float
    until: float
    drawn_at: float
    clips: list[CountClip]


class CountFigure(BaseModel):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class CountFigures(BaseModel):
    """What a count has found; None where too little was looked at."""

    precision: CountFigure | None
    recall: CountFigure | None
    accuracy: CountFigure | None
    counted: int
    true: CountFigure | None
    judged: int


class DoneCount(BaseModel):
    """A count by hand, or one at the command line: both are the same."""

    id: str
    camera: str
    rule: str
    since: float
    until: float
    judged_at: float
    by: str
    figures: CountFigures
    directions: dict[str, CountFigures]


@router.get("/audits")
def audits(
    visitor: _Reader,
    state: State,
    camera: Annotated[str | None, Query(max_length=64)] = None,
    rule: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[DoneCount]:
    """What counts by hand have found, the newest first."""
    found = [
        one
        for one in state.store.audits.audits(camera, rule)
        if one.judged_at is not None and visitor.sees(one.camera)
    ]
    found.sort(key=lambda one: one.judged_at or 0.0, reverse=True)
    return [_done(one) for one in found[:limit]]


@router.get("/audits/rules")
def countable_rules(visitor: _Counter, state: State) -> list[CountableRule]:
    """The rules that can be counted by hand, and why others cannot."""
    deployment = state.deployment
    return [
        _countable(deployment, camera, rule)
        for camera in visitor.seen_of(deployment.cameras)
        for rule, config in deployment.cameras[camera].rules.items()
        if not config.has_map
    ]


@router.get("/audits/footage")
def footage(
    visitor: _Counter, state: State, camera: Annotated[str, Query(min_length=1, max_length=64)]
) -> Footage:
    """For which times a camera has pictures that can be counted."""
    _must_be_there(visitor, state, camera)
    deployment = state.deployment
    timezone = deployment.site_of(camera).timezone
    if not deployment.cameras[camera].source.is_recording:
        return Footage(is_recording=False, spans=[], timezone=timezone)
    there = AuditFootage(deployment, camera, None).there or ()
    return Footage(is_recording=True, spans=_joined(there)[-_MOST_SPANS:], timezone=timezone)


@router.get("/audits/open")
def open_counts(visitor: _Counter, state: State) -> list[OpenCount]:
    """The visitor's own counts that are not done, the newest first."""
    return [_open(state, one) for one in _mine(state, visitor)]


@router.post("/audits")
def draw_count(wish: CountWish, visitor: _Counter, state: State) -> OpenCount:
    """Draw clips at random; the count begins."""
    _must_be_there(visitor, state, wish.camera)
    _must_show(visitor)
    rule = _rule_of(state.deployment, wish.camera, wish.rule)
    if rule.why_not is not None:
        raise WebError(422, rule.why_not, place="rule")
    if wish.until <= wish.since:
        raise WebError(422, "the end must be after the beginning", place="until")
    if wish.until - wish.since > _LONGEST_DAYS * _DAY_S:
        said = f"{_LONGEST_DAYS} days are the longest time that can be counted at once"
        raise WebError(422, said, place="until")
    if len(_mine(state, visitor)) >= _MOST_OPEN:
        said = f"{_MOST_OPEN} counts of yours are not done: finish or discard one of them first"
        raise WebError(409, said)
    span = Span(wish.since, wish.until)
    asked = AuditWish(wish.camera, wish.rule, wish.samples, span, wish.clip_s)
    try:
        made = planned_audit(state.deployment, state.store, asked)
    except ConfigError as error:
        raise _unplanned(error, wish) from None
    now = state.clock.now()
    opened = new_audit(
        wish.camera, wish.rule, made.plan, (wish.since, wish.until), now, visitor.name
    )
    state.journal.note(visitor, "began to count by hand", f"{wish.camera} {wish.rule}", opened.id)
    state.store.audits.keep_audit(opened)
    return _open(state, opened)


@router.get("/audits/{audit_id}")
def open_count(visitor: _Counter, state: State, audit_id: str) -> OpenCount:
    """One of the visitor's counts that are not done."""
    return _open(state, _found(state, visitor, audit_id))


@router.delete("/audits/{audit_id}", status_code=204)
def discard_count(visitor: _Counter, state: State, audit_id: str) -> None:
    """Forget a count that is not done."""
    found = _found(state, visitor, audit_id)
    state.journal.note(visitor, "discarded a count by hand", f"{found.camera} {found.rule}")
    state.store.audits.drop_open_audit(found.id)


@router.get("/audits/{audit_id}/clips/{name}", response_class=Response)
def count_clip(
    visitor: _Counter, state: State, request: Request, audit_id: str, name: str
) -> Response:
    """What is to be looked at: MP4, or a JPEG of a live camera; masks are filled."""
    found = _found(state, visitor, audit_id)
    _must_show(visitor)
    clip = next((one for one in plan_from(found).clips if one.name == name), None)
    if clip is None:
        raise WebError(404, "there is no such clip in this count")
    cutter = kept_for(request.app, "audit_clips", AuditClips)
    made = cutter.cut(state, found, clip)
    if made is None:
        raise WebError(404, "there are no pictures of this clip any more; go on with the next one")
    _looks.note(state.journal, visitor, "looked at clips to count", f"{found.camera} {found.id}")
    return file_answer(made[0], made[1], request.headers, download=False)


@router.put("/audits/{audit_id}/clips/{name}", status_code=204)
def judge_clip(tally: Tally, visitor: _Counter, state: State, audit_id: str, name: str) -> None:
    """Say what was counted in a clip; said again it replaces what was said before."""
    found = _found(state, visitor, audit_id)
    plan = plan_from(found)
    if all(one.name != name for one in plan.clips):
        raise WebError(404, "there is no such clip in this count")
    verdict = _verdict(tally, has_directions=bool(plan.directions))
    if not state.store.audits.say_verdict(found.id, name, verdict):
        raise WebError(409, _CLOSED)


@router.post("/audits/{audit_id}/close")
def close_count(visitor: _Counter, state: State, audit_id: str) -> DoneCount:
    """End a count, and say how far the rule's counts are right. Sent again it says the same."""
    found = _found(state, visitor, audit_id, also_closed=True)
    if found.judged_at is not None:
        return _done(found)
    if all(value is None for value in found.verdicts.values()):
        raise WebError(422, "count at least one clip first")
    closed = judged(found, found.verdicts, state.clock.now(), visitor.name)
    figure = closed.figures.accuracy
    told = "accuracy unknown" if figure is None else f"accuracy {figure.value * 100:.0f} %"
    subject = f"{found.camera} {found.rule}"
    detail = f"{found.id}: {closed.figures.judged} clips, {told}"
    state.journal.note(visitor, "counted by hand", subject, detail)
    state.store.audits.keep_audit(closed)
    return _done(closed)


_CLOSED: Final = "this count is closed already; begin another one"


def _must_be_there(visitor: Visitor, state: WebState, camera: str) -> None:
    must_see(visitor, camera)
    if camera not in state.deployment.cameras:
        raise WebError(404, f"there is no camera {camera!r}")


def _must_show(visitor: Visitor) -> None:
    if not visitor.may(Permission.MEDIA):
        raise WebError(403, f"{visitor.name} may not do this: it takes {Permission.MEDIA}")


def _mine(state: WebState, visitor: Visitor) -> list[Audit]:
    """Those of rules that are still there, and not forgotten."""
    cameras = state.deployment.cameras
    return [
        one
        for one in state.store.audits.audits()
        if one.judged_at is None
        and one.by == visitor.name
        and one.plan is not None
        and visitor.sees(one.camera)
        and one.camera in cameras
        and one.rule in cameras[one.camera].rules
    ]


def _found(state: WebState, visitor: Visitor, audit_id: str, *, also_closed: bool = False) -> Audit:
    """A count of this visitor's; raises WebError 404, and 409 where it is closed."""
    found = state.store.audits.audit(audit_id) if len(audit_id) <= 40 else None
    cameras = state.deployment.cameras
    if (
        found is None
        or found.by != visitor.name
        or not visitor.sees(found.camera)
        or found.camera not in cameras
        or found.rule not in cameras[found.camera].rules
    ):
        raise WebError(404, f"there is no count {audit_id[:40]!r} of yours")
    if found.judged_at is not None and not also_closed:
        raise WebError(409, _CLOSED)
    return found


def _countable(deployment: Deployment, camera: str, rule: str) -> CountableRule:
    config = deployment.cameras[camera].rules[rule]
    what, terms = terms_of(deployment, camera, rule)
    has_directions = config.called_in() is not None
    why_not = None
    if config.cooldown.total_seconds() > 0:
        why_not = (
            "its `cooldown` keeps back events, so no clip can be compared with it; count a rule "
            "without one, over the same line or zone"
        )
    return CountableRule(
        camera=camera,
        rule=rule,
        type=config.type,
        what=what,
        terms=[] if has_directions else terms,
        has_directions=has_directions,
        why_not=why_not,
    )


def _rule_of(deployment: Deployment, camera: str, rule: str) -> CountableRule:
    config = deployment.cameras[camera].rules.get(rule)
    if config is None or config.has_map:
        said = f"camera {camera!r} has no rule {rule[:40]!r} that could be counted by hand"
        raise WebError(404, said, place="rule")
    return _countable(deployment, camera, rule)


def _unplanned(error: ConfigError, wish: CountWish) -> WebError:
    problem = error.problems[0]
    if problem.path == "--video":
        said = (
            f"no event of {wish.rule!r} has kept a picture or clip then; add `snapshot: true` to "
            "the rule, or choose another time"
        )
        return WebError(422, said, place="since")
    place = "since" if problem.path == "--since" else "rule"
    return WebError(422, problem.message, place=place)


def _joined(there: Sequence[tuple[float, float]]) -> list[FootageSpan]:
    joined: list[FootageSpan] = []
    for since, until in sorted(there):
        if joined and since <= joined[-1].until + _JOINED_WITHIN_S:
            joined[-1].until = max(joined[-1].until, until)
        else:
            joined.append(FootageSpan(since=since, until=until))
    return joined


def _open(state: WebState, audit: Audit) -> OpenCount:
    rule = _countable(state.deployment, audit.camera, audit.rule)
    plan = plan_from(audit)
    return OpenCount(
        id=audit.id,
        camera=audit.camera,
        rule=audit.rule,
        type=rule.type,
        what=rule.what,
        terms=rule.terms,
        has_directions=bool(plan.directions),
        since=audit.since,
        until=audit.until,
        drawn_at=audit.drawn_at,
        clips=[
            CountClip(
                name=one.name,
                is_judged=one.name in audit.verdicts,
                tally=_tally(audit.verdicts[one.name]) if one.name in audit.verdicts else None,
            )
            for one in plan.clips
        ],
    )


def _tally(verdict: AuditVerdict) -> Tally:
    if isinstance(verdict, Mapping):
        return Tally(inwards=verdict.get("in", 0), outwards=verdict.get("out", 0))
    return Tally(number=verdict)


def _verdict(tally: Tally, *, has_directions: bool) -> AuditVerdict:
    directed = tally.inwards is not None or tally.outwards is not None
    if directed and tally.number is not None:
        raise WebError(422, "say in and out, or one number, and not both", place="number")
    if directed and not has_directions:
        raise WebError(422, "this rule has no directions: say one number", place="number")
    if tally.number is not None and has_directions:
        raise WebError(422, "of a line, say how many went in and how many out", place="inwards")
    if directed:
        return {"in": tally.inwards or 0, "out": tally.outwards or 0}
    return tally.number


def _done(audit: Audit) -> DoneCount:
    return DoneCount(
        id=audit.id,
        camera=audit.camera,
        rule=audit.rule,
        since=audit.since,
        until=audit.until,
        judged_at=audit.judged_at or 0.0,
        by=audit.by,
        figures=_figures(audit.figures),
        directions={name: _figures(one) for name, one in audit.figures.directions.items()},
    )


def _figures(figures: AuditFigures) -> CountFigures:
    return CountFigures(
        precision=_figure(figures.precision),
        recall=_figure(figures.recall),
        accuracy=_figure(figures.accuracy),
        counted=figures.counted,
        true=_figure(figures.true),
        judged=figures.judged,
    )


def _figure(figure: AuditFigure | None) -> CountFigure | None:
    if figure is None:
        return None
    return CountFigure(value=figure.value, low=figure.low, high=figure.high)
