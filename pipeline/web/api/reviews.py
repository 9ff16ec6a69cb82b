"""What persons say of what happened: seen, and wrong."""

import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from pipeline.core.events import timestamp
from pipeline.core.reviews import Remark
from pipeline.core.store import Span
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.api.events import (
    HIGHEST,
    EventFilters,
    RemarkSaid,
    finder_of,
    found_event,
    remark_said,
)
from pipeline.web.events.truth import truth_of
from pipeline.web.problems import WebError
from pipeline.web.state import State

router = APIRouter(tags=["reviews"])
MOST_MARKED: Final = 5000
_Reviewer = Annotated[Visitor, needs(Permission.REVIEW)]
_Looker = Annotated[Visitor, needs(Permission.LOOK)]
_Id = Annotated[str, Field(max_length=200)]


class ReviewMarks(BaseModel):
    """Which happenings are reviewed, or no longer are."""

    ids: list[_Id] = Field(max_length=MOST_MARKED)
    reviewed: bool = True


class ReviewRange(EventFilters):
    """All happenings that the filters let through, up to one."""

    upto: Annotated[int, Field(ge=0, le=HIGHEST)]
    """The position up to which they are marked: what came later was not seen."""
    down_to: Annotated[int, Field(ge=0, le=HIGHEST)] = 0
    """The position of the oldest one that is marked."""


class ReviewedIds(BaseModel):
    """What was marked."""

    ids: list[str]
    """Of these the state was changed: send them back to undo it."""
    cut: bool = False
    """Whether there are more, as that took too long or there were too many."""


class WrongSaid(BaseModel):
    """What was wrong."""

    kind: Literal["missed", "double", "false"]
    event: _Id | None = None
    """The happening that was false or told twice; without it, something was missed."""
    camera: Annotated[str, Field(max_length=200)] = ""
    """Where something was missed, with the rule and the moment."""
    rule: Annotated[str, Field(max_length=200)] = ""
    at: float | None = None
    direction: Literal["", "in", "out"] = ""
    remark: Annotated[str, Field(max_length=1000)] = ""


class TruthSaid(BaseModel):
    """What is true, by what persons said of what was counted."""

    camera: str
    since: float
    until: float
    truth: dict[str, Any]
    """A truth file for `moonwatch evaluate`: what was counted, without what was false or double,
    and with what was missed."""
    lines: list[dict[str, Any]]
    """What was said, one by one."""
    reviewed: int
    """How many happenings of that time somebody has reviewed."""
    happenings: int
    cut: bool


@router.post("/reviews")
def mark(visitor: _Reviewer, state: State, marks: ReviewMarks) -> ReviewedIds:
    """Say that happenings were seen, or take that back."""
    finder = finder_of(state, visitor)
    keys = [name[:26] for name in marks.ids]
    there = state.store.happenings.happenings(keys)
    chosen = [
        name
        for name in dict.fromkeys(marks.ids)
        if name in there and visitor.sees(there[name].camera)
    ]
    seen = state.store.reviews.seen(finder.visitor.name, chosen)
    if marks.reviewed:
        changed = [name for name in chosen if name not in seen]
        state.store.reviews.mark(visitor.name, changed, state.clock.now())
    else:
        changed = [name for name in chosen if name in seen]
        state.store.reviews.unmark(visitor.name, changed)
    if changed:
        action = "reviewed" if marks.reviewed else "took back the review of"
        state.journal.note(visitor, action, f"{len(changed)} events", changed[0])
    return ReviewedIds(ids=changed)


@router.post("/reviews/range")
def mark_range(visitor: _Reviewer, state: State, marks: ReviewRange) -> ReviewedIds:
    """Say that all happenings that the filters let through were seen, up to a position."""
    wish = marks.model_copy(update={"reviewed": False}).wish()
    finder = finder_of(state, visitor)
    page = finder.page(wish, marks.upto + 1, MOST_MARKED)
    ids = [one.id for one in page.found if one.position >= marks.down_to]
    state.store.reviews.mark(visitor.name, ids, state.clock.now())
    if ids:
        state.journal.note(visitor, "reviewed", f"{len(ids)} events", ids[0])
    more = page.beyond is not None and len(ids) == len(page.found)
    return ReviewedIds(ids=ids, cut=more)


@router.post("/remarks")
def say(visitor: _Reviewer, state: State, said: WrongSaid) -> RemarkSaid:
    """Say that something was wrong: it did not happen, was told twice, or was missed."""
    now = state.clock.now()
    if said.kind == "missed":
        remark = _missed(visitor, state, said, now)
    else:
        if said.event is None:
            raise WebError(422, f"say which event was {said.kind}", place="event")
        one = found_event(finder_of(state, visitor), said.event)
        remark = Remark(
            said.kind,
            one.camera,
            one.first.rule,
            one.began_at,
            visitor.name,
            one.id,
            one.word("line") or one.word("zone") or "",
            one.word("direction") or "",
            said.remark.strip(),
            now,
        )
    kept = state.store.reviews.say(remark)
    state.journal.note(visitor, f"said that was {kept.kind}", kept.happening or kept.camera)
    return remark_said(kept)


@router.delete("/remarks/{remark_id}")
def withdraw(
    visitor: _Reviewer, state: State, remark_id: Annotated[int, Path(ge=0, le=HIGHEST)]
) -> RemarkSaid:
    """Take back what was said to be wrong."""
    found = state.store.reviews.remark(remark_id)
    if found is None or not visitor.sees(found.camera):
        raise WebError(404, f"there is no remark {remark_id}")
    state.store.reviews.withdraw(remark_id)
    state.journal.note(visitor, f"took back that was {found.kind}", found.happening or found.camera)
    return remark_said(found)


@router.get("/truth")
def truth(
    visitor: _Looker,
    state: State,
    camera: Annotated[str, Query(max_length=200)],
    since: float,
    until: float,
) -> TruthSaid:
    """What is true of a camera and a time, in the form of a truth file for `moonwatch evaluate`."""
    config = state.deployment.cameras.get(camera)
    if config is None or not visitor.sees(camera):
        raise WebError(404, f"there is no camera {camera!r}", place="camera")
    if not 0 < until - since <= 366 * 86_400:
        raise WebError(
            422, "a truth file is of up to a year, from `since` to `until`", place="since"
        )
    found = truth_of(state.store, state.clock, camera, config, Span(since, until))
    said = [
        {
            "time": timestamp(one.at),
            "camera": one.camera,
            "rule": one.rule,
            "verdict": one.kind,
            "place": one.place,
            "direction": one.direction,
            "happening": one.happening,
            "remark": one.remark,
            "by": one.by,
        }
        for one in found.remarks
    ]
    assert json.dumps(found.truth)
    return TruthSaid(
        camera=camera,
        since=since,
        until=until,
        truth=dict(found.truth),
        lines=said,
        reviewed=found.reviewed,
        happenings=found.happenings,
        cut=found.cut,
    )


def _missed(visitor: Visitor, state: State, said: WrongSaid, now: float) -> Remark:
    config = state.deployment.cameras.get(said.camera)
    if config is None or not visitor.sees(said.camera):
        raise WebError(404, f"there is no camera {said.camera!r}", place="camera")
    rule = config.rules.get(said.rule)
    if rule is None:
        known = ", ".join(config.rules) or "none"
        raise WebError(
            422, f"camera {said.camera} has no rule {said.rule!r}; there are {known}", place="rule"
        )
    if said.at is None or not 0 <= said.at <= now:
        raise WebError(422, "say when it was missed, in UTC seconds of the past", place="at")
    places = rule.references()
    place = next(iter([*places.lines, *places.zones]), "")
    return Remark(
        "missed",
        said.camera,
        said.rule,
        said.at,
        visitor.name,
        "",
        place,
        said.direction,
        said.remark.strip(),
        now,
    )
