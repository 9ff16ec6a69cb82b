"""What happened: as a list with filters, one by one with its reasons, and on a timeline."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from pipeline.core.clips import Clip, ClipFile
from pipeline.core.happenings import Happening
from pipeline.core.opening_hours import DAYS
from pipeline.core.reviews import Remark
from pipeline.web.access.guard import needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.events.calendar import month_of, zone_of
from pipeline.web.events.finding import Finder
from pipeline.web.events.lanes import MOST_BINS, MOST_DAYS, LanesBy, bins_of, timeline
from pipeline.web.events.sending import SentTo
from pipeline.web.events.why import path_of, reasons
from pipeline.web.events.wishes import EventWish, SentState, Verdict, verdict_of
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["events"])
MOST_SHOWN: Final = 200
LONGEST_WAIT_S: Final = 30.0
HIGHEST: Final = 2**62
"""No event has a higher position, and databases take no number that is much larger."""
WAITING_AT_ONCE: Final = 4
"""So many requests of one visitor may wait for something to happen."""
_LOOK_S = 0.5
_DAY_S = 86_400.0
_HOURS = re.compile(r"([01]?\d|2[0-4])(?::([0-5]\d))?-([01]?\d|2[0-4])(?::([0-5]\d))?")
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Query(max_length=50)]


class _Waiters:
    """How many requests of each visitor wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def one_more(self, visitor: str) -> Iterator[None]:
        """Count one while it waits; raises WebError where there are too many."""
        with self._lock:
            if self._waiting[visitor] >= WAITING_AT_ONCE:
                raise WebError(
                    429,
                    f"{WAITING_AT_ONCE} requests of {visitor} wait already; end one of them first",
                    retry_after_s=5,
                )
            self._waiting[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[visitor] -= 1
                if not self._waiting[visitor]:
                    del self._waiting[visitor]


_waiters = _Waiters()


class EventFilters(BaseModel):
    """Filters of events as parameters; they combine."""

    camera: _Names = []
    rule: _Names = []
    type: _Names = []
    kind: _Names = []
    """What it is about, such as person."""
    place: _Names = []
    """Zones and lines."""
    direction: _Names = []
    since: float | None = None
    until: float | None = None
    hours: Annotated[str, Field(max_length=11)] = ""
    """Of the local day, such as 22-6 or 9:30-18."""
    weekday: _Names = []
    """mon, tue, wed, thu, fri, sat, sun."""
    least: Annotated[float | None, Field(ge=0, le=1)] = None
    """How probable it is at least."""
    verdict: list[Verdict] = []
    reviewed: bool | None = None
    sent: SentState | None = None
    wrong: bool | None = None
    text: Annotated[str, Field(max_length=200)] = ""

    def wish(self) -> EventWish:
        """The same, checked; raises WebError."""
        for day in self.weekday:
            if day not in DAYS:
                known = ", ".join(DAYS)
                raise WebError(422, f"{day!r} is no day of the week; use {known}", place="weekday")
        for name, at in (("since", self.since), ("until", self.until)):
            if at is not None and not -2.3e9 < at < 7.3e9:
                raise WebError(422, f"{name} is UTC seconds between 1900 and 2200", place=name)
        return EventWish(
            cameras=tuple(self.camera),
            rules=tuple(self.rule),
            types=tuple(self.type),
            kinds=tuple(self.kind),
            places=tuple(self.place),
            directions=tuple(self.direction),
            since=self.since,
            until=self.until,
            hours=_hours(self.hours),
            weekdays=tuple(self.weekday),
            least=self.least,
            verdicts=tuple(self.verdict),
            reviewed=self.reviewed,
            sent=self.sent,
            text=self.text.strip(),
            wrong=self.wrong,
        )


class _Listing(EventFilters):
    """Which part of the list, or what is new."""

    beyond: Annotated[int | None, Field(ge=0, le=HIGHEST)] = None
    """Below which position the page begins, as `beyond` of the page before it says."""
    limit: Annotated[int, Field(ge=1, le=MOST_SHOWN)] = 50
    after: Annotated[int | None, Field(ge=0, le=HIGHEST)] = None
    """Only what came after this position, as soon as there is something."""
    wait: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)] = 0
    """For how many seconds that is waited for."""


class _OnTimeline(EventFilters):
    """What the timeline shows."""

    by: LanesBy = "camera"
    bins: Annotated[int, Field(ge=1, le=MOST_BINS)] = 120


class _OfMonth(BaseModel):
    """The month of a calendar, and what is counted in it."""

    month: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
    """Such as 2026-11."""
    camera: _Names = []
    rule: _Names = []
    type: _Names = []


class DaySaid(BaseModel):
    """A day of a site's clock, which has 23 or 25 hours where clocks change."""

    day: date
    since: float
    until: float
    """UTC seconds; the day ends before it."""
    happenings: int
    unreviewed: int
    """By who asks."""
    known: float | None
    """The mean share of it that is known of the cameras; None for a day that is to come."""


class CalendarSaid(BaseModel):
    """The days of a month."""

    month: str
    timezone: str
    days: list[DaySaid]


class SecondLookSaid(BaseModel):
    """What came of a second look."""

    outcome: str
    answer: str
    probability: float | None
    engine: str
    reason: str


class EventClip(BaseModel):
    """The clip of a happening."""

    state: str
    reason: str
    parts: int
    """How many files it has, played one after the other."""
    since: float | None
    """When its first picture was taken, in UTC seconds."""
    until: float | None
    fps: float | None
    """Pictures a second, about; what a step of one frame is reckoned from."""


class SendingCounts(BaseModel):
    """How many of its events are where, over all sinks."""

    delivered: int
    waiting: int
    refused: int


class EventCard(BaseModel):
    """A happening: its start, updates and end in one."""

    id: str
    position: int
    """Where it stands in the order of arrival."""
    newest: int
    """The position of its last event so far."""
    camera: str
    rule: str
    type: str
    kind: str | None
    track: int | None
    zone: str | None
    line: str | None
    direction: str | None
    began_at: float
    ended_at: float | None
    """None while it goes on."""
    seconds: float | None
    verdict: Verdict
    second_look: SecondLookSaid | None
    probability: float | None
    box: tuple[float, float, float, float] | None
    """Of its subject in the first picture, as fractions: left, top, right, bottom."""
    pictures: int
    has_clip: bool
    reviewed_at: float | None
    """When the visitor has reviewed it."""
    wrong: list[str]
    """What persons said was wrong."""
    sending: SendingCounts
    data: dict[str, Any]
    """Everything else that its events say."""


class EventPage(BaseModel):
    """A page of happenings, the newest first; of what is new, in the order in which it came."""

    events: list[EventCard]
    beyond: int | None
    """Where the next page begins; None where there is none."""
    cut: bool
    """Whether the search ended because it took long; go on with `beyond`."""
    position: int
    """Up to which position was looked: what is new has a higher one."""


class PhaseSaid(BaseModel):
    """One event of a happening."""

    id: str
    phase: str
    at: float
    kept_at: float
    has_picture: bool
    data: dict[str, Any]


class TermSaid(BaseModel):
    """One thing that the file says of the rule."""

    name: str
    value: str
    meaning: str


class LimitSaid(BaseModel):
    """A measured value and its limit."""

    measured: str
    value: float
    limit_name: str
    limit: float
    unit: str


class ArmedSaid(BaseModel):
    """Whether the camera was armed."""

    is_armed: bool
    since: float | None
    by: str


class WhySaid(BaseModel):
    """Why it was reported."""

    is_known: bool
    """Whether the file still has the rule."""
    type: str
    terms: list[TermSaid]
    measured: list[LimitSaid]
    schedule: str | None
    was_scheduled: bool | None
    armed: ArmedSaid | None
    cooldown_s: float
    silenced: int
    withheld: int
    coverage: float | None
    edited_at: float | None


class PathSaid(BaseModel):
    """Where its track was at one moment."""

    at: float
    box: tuple[float, float, float, float]
    score: float | None


class SentSaid(BaseModel):
    """What became of one of its events at one sink."""

    sink: str
    record_id: str
    phase: str
    state: Literal["delivered", "waiting", "refused", "not sent"]
    at: float | None
    after_s: float | None
    attempts: int | None
    reason: str
    retry_at: float | None


class RemarkSaid(BaseModel):
    """What somebody said was wrong."""

    id: int
    kind: Literal["missed", "double", "false"]
    camera: str
    rule: str
    at: float
    by: str
    happening: str
    place: str
    direction: str
    remark: str
    kept_at: float


class EventDetail(BaseModel):
    """A happening with everything that is known of it."""

    event: EventCard
    phases: list[PhaseSaid]
    clip: EventClip | None
    why: WhySaid
    path: list[PathSaid]
    sent: list[SentSaid]
    remarks: list[RemarkSaid]


class LaneSaid(BaseModel):
    """One row of the timeline."""

    camera: str
    rule: str
    counts: list[int]
    known: list[float | None]
    """The share of each bin that is known; None for what is still to come."""
    measured: bool


class BlindSaid(BaseModel):
    """A time in which a camera showed nothing."""

    camera: str
    state: str
    since: float
    until: float | None


class EditSaid(BaseModel):
    """The moment from which a rule counts by other terms."""

    camera: str
    rule: str
    at: float
    kind: str
    changed: str


class TimelineSaid(BaseModel):
    """Happenings and known time by bins."""

    since: float
    bin_s: float
    bins: int
    lanes: list[LaneSaid]
    blind: list[BlindSaid]
    edits: list[EditSaid]
    """By time; the newest ones, where there are very many."""
    cut: bool


Looker = Annotated[Visitor, needs(Permission.LOOK)]


@router.get("/events")
async def events(
    visitor: Looker, state: State, request: Request, asked: Annotated[_Listing, Query()]
) -> EventPage:
    """What happened, the newest first; with `after`, what is new, as soon as there is something."""
    wish = asked.wish()
    if asked.after is None:
        return await run_in_threadpool(_page, state, visitor, wish, asked.beyond, asked.limit)
    found = await run_in_threadpool(_news, state, visitor, wish, asked.after, asked.limit)
    if found.events or not asked.wait:
        return found
    with _waiters.one_more(visitor.name):
        ends_at = state.clock.monotonic() + asked.wait
        while state.clock.monotonic() < ends_at and not await request.is_disconnected():
            await asyncio.sleep(_LOOK_S)
            newest = await run_in_threadpool(state.store.happenings.newest)
            if newest == found.position:
                continue
            found = await run_in_threadpool(
                _news, state, visitor, wish, found.position, asked.limit
            )
            if found.events:
                break
    return found


@router.get("/events/{event_id}")
def event(visitor: Looker, state: State, event_id: str) -> EventDetail:
    """One happening with its reasons, its path, and what became of it."""
    finder = finder_of(state, visitor)
    one = found_event(finder, event_id)
    clip = clip_of(state, one)
    return EventDetail(
        event=cards(finder, [one])[0],
        phases=[
            PhaseSaid(
                id=stored.event.record_id,
                phase=stored.event.phase,
                at=stored.event.at,
                kept_at=stored.kept_at,
                has_picture=bool(stored.event.media),
                data=dict(stored.event.data),
            )
            for stored in one.events
        ],
        clip=None if clip is None else _clip_said(clip),
        why=WhySaid.model_validate(
            reasons(one, state.deployment, state.store), from_attributes=True
        ),
        path=[
            PathSaid.model_validate(place, from_attributes=True)
            for place in path_of(one, state.store)
        ],
        sent=sent_of(finder, one),
        remarks=[remark_said(said) for said in finder.remarks.get(one.id, [])],
    )


@router.get("/timeline")
def timeline_of(
    visitor: Looker, state: State, asked: Annotated[_OnTimeline, Query()]
) -> TimelineSaid:
    """How many happenings began when, and how much of that time is known."""
    wish = asked.wish()
    now = state.clock.now()
    until = now if wish.until is None else wish.until
    since = until - _DAY_S if wish.since is None else wish.since
    if not 0 < until - since <= MOST_DAYS * _DAY_S:
        raise WebError(
            422,
            f"the timeline shows up to {MOST_DAYS} days, from `since` to `until`",
            place="since",
        )
    bins = bins_of(since, until, asked.bins)
    span = bins.span
    inside = asked.model_copy(update={"since": span.since, "until": span.until}).wish()
    with state.heavy.turn(visitor.name):
        found = timeline(finder_of(state, visitor), inside, bins, asked.by, now)
    return TimelineSaid(
        since=bins.since,
        bin_s=bins.seconds,
        bins=bins.number,
        lanes=[LaneSaid.model_validate(lane, from_attributes=True) for lane in found.lanes],
        blind=[BlindSaid.model_validate(one, from_attributes=True) for one in found.blind],
        edits=[EditSaid.model_validate(one, from_attributes=True) for one in found.edits],
        cut=found.cut,
    )


@router.get("/calendar")
def calendar_of(visitor: Looker, state: State, asked: Annotated[_OfMonth, Query()]) -> CalendarSaid:
    """How much happened on each day of a month, and how much of the day is known."""
    year, month = map(int, asked.month.split("-"))
    if not 1971 <= year <= 2199:
        raise WebError(422, f"{asked.month} is not between 1971-01 and 2199-12", place="month")
    finder = finder_of(state, visitor)
    wish = EventFilters(camera=asked.camera, rule=asked.rule, type=asked.type).wish()
    with state.heavy.turn(visitor.name):
        days = month_of(finder, wish, date(year, month, 1), state.clock.now())
    return CalendarSaid(
        month=asked.month,
        timezone=zone_of(finder, wish),
        days=[DaySaid.model_validate(one, from_attributes=True) for one in days],
    )


def finder_of(state: WebState, visitor: Visitor) -> Finder:
    """What finds happenings for a visitor."""
    return Finder(state.deployment, state.store, state.clock, visitor)


def found_event(finder: Finder, event_id: str) -> Happening:
    """A happening that the visitor may see; raises WebError 404."""
    # A text with NUL is none that PostgreSQL could be asked for.
    is_id = len(event_id) <= 200 and "\0" not in event_id
    one = finder.one(event_id) if is_id else None
    if one is None:
        raise WebError(404, f"there is no event {event_id[:60]!r}; what is old is forgotten")
    return one


def cards(finder: Finder, found: Sequence[Happening]) -> list[EventCard]:
    """Happenings as they are shown; raises StoreError."""
    finder.deliveries.look_up(found)
    seen = finder.store.reviews.seen(finder.visitor.name, [one.id for one in found])
    return [_card(finder, one, seen.get(one.id)) for one in found]


def clip_of(state: WebState, one: Happening) -> Clip | None:
    """The clip of a happening, as far as it is known; raises StoreError."""
    reference = one.clip
    return None if reference is None else state.store.clips.clip(reference)


def sent_of(finder: Finder, one: Happening) -> list[SentSaid]:
    """What became of each of its events at each sink; raises StoreError."""
    return [_sent_said(told) for told in finder.deliveries.told(one)]


def remark_said(said: Remark) -> RemarkSaid:
    """A remark as it is shown."""
    return RemarkSaid.model_validate(said, from_attributes=True)


def _page(
    state: WebState, visitor: Visitor, wish: EventWish, beyond: int | None, limit: int
) -> EventPage:
    finder = finder_of(state, visitor)
    position = state.store.happenings.newest()
    page = finder.page(wish, beyond, limit)
    return EventPage(
        events=cards(finder, page.found), beyond=page.beyond, cut=page.cut, position=position
    )


def _news(state: WebState, visitor: Visitor, wish: EventWish, after: int, limit: int) -> EventPage:
    finder = finder_of(state, visitor)
    found, position = finder.news(wish, after, limit)
    return EventPage(events=cards(finder, found), beyond=None, cut=False, position=position)


def _card(finder: Finder, one: Happening, reviewed_at: float | None) -> EventCard:
    event, subject, seen = one.first, one.subject, one.verification
    sending = finder.deliveries.sending(one)
    return EventCard(
        id=one.id,
        position=one.position,
        newest=one.newest,
        camera=event.camera,
        rule=event.rule,
        type=event.type,
        kind=None if subject is None else subject.label,
        track=None if subject is None else subject.track,
        zone=one.word("zone"),
        line=one.word("line"),
        direction=one.word("direction"),
        began_at=one.began_at,
        ended_at=one.ended_at,
        seconds=one.seconds,
        verdict=verdict_of(one),
        second_look=None
        if seen is None
        else SecondLookSaid.model_validate(seen, from_attributes=True),
        probability=one.probability,
        box=None if subject is None else subject.box,
        pictures=len(one.pictures),
        has_clip=one.clip is not None,
        reviewed_at=reviewed_at,
        wrong=[said.kind for said in finder.remarks.get(one.id, [])],
        sending=SendingCounts.model_validate(sending, from_attributes=True),
        data=dict(one.data),
    )


def _clip_said(clip: Clip) -> EventClip:
    files = [file for _, file in clip.files]
    return EventClip(
        state=clip.state,
        reason=clip.reason,
        parts=len(files),
        since=files[0].since if files else None,
        until=files[-1].until if files else None,
        fps=_fps(files[0]) if files else None,
    )


def _fps(file: ClipFile) -> float | None:
    length = file.until - file.since
    return round(file.pictures / length, 3) if length > 0 and file.pictures else None


def _sent_said(told: SentTo) -> SentSaid:
    return SentSaid.model_validate(told, from_attributes=True)


def _hours(text: str) -> tuple[int, int] | None:
    if not text.strip():
        return None
    found = _HOURS.fullmatch(text.replace(" ", ""))
    if found is None:
        raise WebError(422, f"{text!r} are no hours; write 22-6 or 9:30-18", place="hours")
    first, last = int(found[1]) * 60 + int(found[2] or 0), int(found[3]) * 60 + int(found[4] or 0)
    if first == last or first >= 24 * 60 or last > 24 * 60:
        raise WebError(422, f"{text!r} are no hours of a day; write 22-6 or 9:30-18", place="hours")
    return first, last
