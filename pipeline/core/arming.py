"""Armed and disarmed: what was switched by hand, and what a moment is by that and by the plan.

Whoever judges a frame knows the whole record of switching, and a change takes effect a little after
it was asked for. So a frame is judged alike by whichever process does it, and alike when what was
seen is judged again.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pipeline.core.events import Event, JsonValue, event_id
from pipeline.core.records_by_hand import BookByHand, RecordsByHand

ARMING = "arming"
"""The type of the events that say that something was armed or disarmed, and their rule."""
BY_PLAN = "the plan"
"""Who armed and disarmed where `armed` of the site did."""
EFFECTIVE_AFTER_S = 2.0
"""How long after it was asked for a change takes effect: every processor knows it by then."""


@dataclass(frozen=True, slots=True)
class ArmingChange:
    """Somebody armed or disarmed a camera, or all of them."""

    at: float
    """UTC seconds from which it holds."""
    is_armed: bool
    camera: str | None = None
    """None for all cameras."""
    by: str = ""
    """Who did it."""
    position: int = 0
    """Where it stands in the order of the store."""


@dataclass(frozen=True, slots=True)
class Armed:
    """Whether a camera is armed, since when, and who said so."""

    is_armed: bool
    since: float | None = None
    """UTC seconds; None for as long as is known."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PlannedArming:
    """What the plan says of a moment, and for how long it says so, in UTC seconds."""

    is_armed: bool
    since: float = float("-inf")
    until: float = float("inf")


def event_of_change(change: ArmingChange) -> Event:
    """The event that says that somebody armed or disarmed something, and who."""
    data: dict[str, JsonValue] = {"armed": change.is_armed, "by": change.by}
    return _event(change.camera or "", change.at, data, str(change.position))


def event_of_plan(site: str, planned: PlannedArming) -> Event:
    """The event that says that the plan of a site armed or disarmed it, at `planned.since`."""
    data: dict[str, JsonValue] = {"armed": planned.is_armed, "by": BY_PLAN, "site": site}
    return _event("", planned.since, data, f"plan {site}")


def _event(camera: str, at: float, data: dict[str, JsonValue], what: str) -> Event:
    happening = event_id(camera, ARMING, what, at)
    return Event(happening, ARMING, "single", camera, ARMING, at, data=data)


class ArmingPlan(Protocol):
    """When a site is armed, unless somebody says otherwise."""

    def at(self, at: float) -> PlannedArming:
        """What holds at a moment, in UTC seconds."""
        ...

    def as_json(self) -> JsonValue:
        """All of it in plain values, by which two of them can be compared."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same all the time."""

    is_armed: bool = True

    def at(self, at: float) -> PlannedArming:
        """What holds at a moment."""
        return PlannedArming(self.is_armed)

    def as_json(self) -> JsonValue:
        """Yes or no."""
        return self.is_armed


ArmingRecords: TypeAlias = RecordsByHand[ArmingChange]
"""What was armed and disarmed by hand, as the store keeps it."""


class ArmingBook(BookByHand[str | None, ArmingChange]):
    """All that was armed and disarmed by hand, by camera; None is all cameras."""

    @staticmethod
    def _about(change: ArmingChange) -> str | None:
        return change.camera

    def last(self, camera: str, at: float) -> tuple[ArmingChange | None, float]:
        """The last change that concerns a camera at a moment, and until when that is so."""
        found: ArmingChange | None = None
        until = float("inf")
        for whom in (None, camera):
            known = self._changes.get(whom, [])
            index = bisect_right(known, at, key=lambda one: one.at)
            if index < len(known):
                until = min(until, known[index].at)
            if index:
                one = known[index - 1]
                if found is None or (one.at, one.position) >= (found.at, found.position):
                    found = one
        return found, until


@dataclass(slots=True)
class ArmedTimes:
    """When a camera is armed: what was changed last counts, by hand or by the plan."""

    plan: ArmingPlan = field(default_factory=Constant)
    book: ArmingBook = field(default_factory=ArmingBook)
    camera: str = ""
    _known: Armed = field(default_factory=lambda: Armed(True), repr=False)
    _since: float = field(default=float("inf"), repr=False)
    _until: float = field(default=float("-inf"), repr=False)
    _version: int = field(default=-1, repr=False)

    def at(self, at: float) -> Armed:
        """What holds at a moment, in UTC seconds."""
        if not (self._since <= at < self._until and self._version == self.book.version):
            self._look(at)
        return self._known

    def _look(self, at: float) -> None:
        planned = self.plan.at(at)
        change, until = self.book.last(self.camera, at)
        if change is not None and change.at >= planned.since:
            self._known = Armed(change.is_armed, change.at, change.by)
            self._since = max(planned.since, change.at)
        else:
            since = None if planned.since == float("-inf") else planned.since
            self._known = Armed(planned.is_armed, since, BY_PLAN)
            self._since = planned.since
        self._until = min(until, planned.until)
        self._version = self.book.version
