"""Who is staff, and what staff has done, as soon as that is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from pipeline.core.events import Event, JsonValue, event_from_json, event_to_json
from pipeline.core.geometry import Box
from pipeline.core.rules import Observation, TrackAnswer, TrackQuestion, track_name
from pipeline.core.verifying import Outcome
from pipeline.rules.context import RuleContext
from pipeline.rules.crossers import Crossers, CrossersMemory
from pipeline.rules.outcome import verification_by
from pipeline.rules.presence import EDGE, PresenceMemory, ZonePresence
from pipeline.rules.staff import StaffConfig, staff_question_name

FORGET_S = 120.0
"""Seconds after which a track that is not seen is forgotten; trackers give up much sooner."""
MARGIN = 0.01
"""How far past a staff line somebody must get, in picture heights, as for `line_crossing`."""
STAFF = "staff"
"""The key of an event's data that says whether it is about staff."""
_NOBODY = -1
UNKNOWN: Literal["unknown"] = "unknown"
"""What it says where nobody knows."""


@dataclass(slots=True)
class Deed:
    """Something that was counted for everybody."""

    at: float
    name: str
    """The measure that counts it for staff."""


@dataclass(slots=True)
class BestLook:
    """A frame in which somebody was seen well."""

    run: str
    seq: int
    box: Box


@dataclass(slots=True)
class Held:
    """An event that waits until it is known whether it is about staff."""

    id: int
    """Of the track."""
    until: float
    """When it waits no longer."""
    event: str
    """As JSON."""


@dataclass(slots=True)
class StaffMemory:
    """Who is staff, and what all others have done, should they turn out to be."""

    version: ClassVar[int] = 1
    presence: PresenceMemory = field(default_factory=PresenceMemory)
    crossers: CrossersMemory = field(default_factory=CrossersMemory)
    run: str = ""
    staff: dict[int, float] = field(default_factory=dict)
    """Ids, and when each was seen last."""
    others: dict[int, float] = field(default_factory=dict)
    deeds: dict[int, list[Deed]] = field(default_factory=dict)
    """Of others, by id."""
    names: dict[str, int] = field(default_factory=dict)
    """The present id of each track that may be asked about, by its name."""
    looks: dict[int, BestLook] = field(default_factory=dict)
    """The best look at each of them, by id."""
    asked: dict[int, float] = field(default_factory=dict)
    """When a question was asked that is not answered yet, by id."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """What came of the others; a track is never asked about again."""
    held: list[Held] = field(default_factory=list)


class Staff:
    """Tells staff from others, and says what staff has done, as soon as that is known."""

    def __init__(self, config: StaffConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._zone = zone
        self._look = config.look()
        self._name = staff_question_name(context.rule)
        self._presence = ZonePresence(context, zone)
        self._crossers = None
        if config.line is not None:
            self._crossers = Crossers(context.crossable(config.line), context, MARGIN, door=False)
        self._at = 0.0
        self._latest: dict[int, BestLook] = {}
        self._questions: list[TrackQuestion] = []
        self._newly_held: list[Event] = []
        self.use(StaffMemory())

    def use(self, memory: StaffMemory) -> None:
        """Go on with a memory."""
        self.memory = memory
        self._presence.memory = memory.presence
        if self._crossers is not None:
            self._crossers.memory = memory.crossers

    def see(self, seen: Observation) -> Iterator[Deed]:
        """Process an answered frame; what those did before who turn out to be staff now."""
        memory = self.memory
        if seen.run != memory.run:  # ids start over
            memory.run = seen.run
            memory.staff, memory.others, memory.deeds = {}, {}, {}
            memory.names, memory.looks, memory.asked, memory.outcomes = {}, {}, {}, {}
            for one in memory.held:
                one.id = _NOBODY
        self._at = seen.at
        for new, old in self._presence.see(seen).items():
            self._rename(old, new)
        if self._look is not None:
            self._watch(seen)
        found = set(self._presence.inside()) if self._zone is not None else set()
        if self._crossers is not None:
            found |= {crossed.id for crossed in self._crossers.see(seen)}
        for track in seen.tracks:
            known = memory.staff if track.id in memory.staff else memory.others
            known[track.id] = seen.at
        for id_ in sorted(found - memory.staff.keys()):
            self._is_staff_from(id_, seen.at)
        yield from self._deeds_of_staff()
        for known in (memory.staff, memory.others):
            for id_ in [one for one, at in known.items() if at < seen.at - FORGET_S]:
                del known[id_]
                self._forget(id_)

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> Iterator[Deed]:
        """Take answers; what those did before who turn out to be staff now."""
        memory, look = self.memory, self._look
        self._at = at
        if look is None:
            return
        for answer in told:
            id_ = memory.names.get(answer.track)
            if id_ is None or answer.question != look.key or id_ in memory.outcomes:
                continue
            memory.asked.pop(id_, None)
            outcome = memory.outcomes[id_] = verification_by(look, answer.answer).outcome
            if outcome == "confirmed" and id_ not in memory.staff:
                self._is_staff_from(id_, memory.others.get(id_, self._at))
        yield from self._deeds_of_staff()

    def is_staff(self, id_: int) -> bool:
        """Whether somebody is known to be staff."""
        return id_ in self.memory.staff

    def may_be(self, id_: int, at: float) -> bool:
        """Whether somebody is staff, or may be: nobody waits for the answer longer than that."""
        if self.is_staff(id_):
            return True
        if self._look is None or id_ in self.memory.outcomes:
            return False
        return at < self.memory.asked.get(id_, at) + self._look.deadline_s

    @property
    def has_news(self) -> bool:
        """Whether there are questions to be asked, or events that wait."""
        return bool(self._questions or self.memory.held)

    def did(self, id_: int, at: float, name: str) -> Deed | None:
        """Note that something was counted for everybody; returned if it is known to be staff's."""
        deed = Deed(at, name)
        if self.is_staff(id_):
            return deed
        self.ask(id_)
        self.memory.deeds.setdefault(id_, []).append(deed)
        self.memory.others.setdefault(id_, at)
        return None

    def take_questions(self) -> tuple[TrackQuestion, ...]:
        """What is to be asked since this was called last."""
        taken, self._questions = tuple(self._questions), []
        return taken

    def take_waiting(self) -> tuple[Event, ...]:
        """The events that began to wait since this was called last."""
        taken, self._newly_held = tuple(self._newly_held), []
        return taken

    def let_go(self, events: Sequence[Event], at: float, *, finally_: bool = False) -> list[Event]:
        """Those that waited and go out at `at`, then the new ones that need not wait.

        Each says whether it is about staff. The events of one happening keep their order.
        """
        memory, out = self.memory, list[Event]()
        held, happenings = memory.held, set[str]()
        memory.held = []
        for one in held:
            event = event_from_json(one.event)
            waits = one.id in memory.asked and at < one.until and not finally_
            if waits or event.id in happenings:
                happenings.add(event.id)
                memory.held.append(one)
            else:
                out.append(self._marked(event, one.id))
        for event in events:
            id_ = event.subject.track if event.subject is not None else None
            present = _NOBODY if id_ is None else self._present(id_)
            waits = present in memory.asked and not finally_
            if self._look is not None and (waits or event.id in happenings):
                happenings.add(event.id)
                until = at + self._look.deadline_s
                memory.held.append(Held(present, until, event_to_json(event)))
                self._newly_held.append(event)
            else:
                out.append(self._marked(event, present))
        return out

    def _marked(self, event: Event, id_: int) -> Event:
        if event.subject is None or event.subject.track is None:
            return event  # it is about nobody in particular
        said: JsonValue = self.is_staff(id_)
        if not said and self._look is not None and self.memory.outcomes.get(id_) != "rejected":
            said = UNKNOWN
        return replace(event, data={**event.data, STAFF: said})

    def _present(self, id_: int) -> int:
        """The id under which somebody goes now whom an event calls by an earlier one."""
        start = f"{id_}@"
        if id_ in self.memory.staff or id_ in self.memory.others:
            return id_
        return next((now for name, now in self.memory.names.items() if name.startswith(start)), id_)

    def _watch(self, seen: Observation) -> None:
        """Remember the best look at everybody: the largest, within the frame where there is one."""
        memory, self._latest = self.memory, {}
        for track in seen.tracks:
            memory.names.setdefault(track_name(track), track.id)
            latest = self._latest[track.id] = BestLook(seen.run, seen.seq, track.box)
            best = memory.looks.get(track.id)
            if best is None or _worth(latest.box) > _worth(best.box):
                memory.looks[track.id] = latest

    def ask(self, id_: int) -> None:
        """Ask about somebody who matters now, unless that is known or was asked."""
        memory, best = self.memory, self.memory.looks.get(id_)
        if self._look is None or best is None or id_ in memory.staff:
            return
        if id_ in memory.asked or id_ in memory.outcomes:
            return
        name = next((name for name, now in memory.names.items() if now == id_), None)
        if name is None:
            return
        memory.asked[id_] = self._at
        latest = self._latest.get(id_, best)
        looks = dict.fromkeys(
            (look.seq, look.box) for look in (best, latest) if look.run == memory.run
        )
        self._questions.append(TrackQuestion(name, self._name, self._look, tuple(looks)))

    def _is_staff_from(self, id_: int, at: float) -> None:
        self.memory.staff[id_] = at
        self.memory.others.pop(id_, None)
        self.memory.asked.pop(id_, None)

    def _deeds_of_staff(self) -> Iterator[Deed]:
        memory = self.memory
        for id_ in sorted(memory.deeds.keys() & memory.staff.keys()):
            yield from memory.deeds.pop(id_)

    def _forget(self, id_: int) -> None:
        memory = self.memory
        memory.deeds.pop(id_, None)
        memory.looks.pop(id_, None)
        memory.asked.pop(id_, None)
        memory.outcomes.pop(id_, None)
        for name in [name for name, now in memory.names.items() if now == id_]:
            del memory.names[name]

    def _rename(self, old: int, new: int) -> None:
        memory = self.memory
        for known in (memory.staff, memory.others, memory.asked):
            if old in known:
                known[new] = known.pop(old)
        if old in memory.deeds:
            memory.deeds[new] = [*memory.deeds.pop(old), *memory.deeds.get(new, [])]
        if new in memory.staff:
            memory.others.pop(new, None)
        if old in memory.looks:
            memory.looks[new] = memory.looks.pop(old)
        if old in memory.outcomes:
            memory.outcomes[new] = memory.outcomes.pop(old)
        for name in [name for name, now in memory.names.items() if now == old]:
            memory.names[name] = new
        for one in memory.held:
            if one.id == old:
                one.id = new


def _worth(box: Box) -> tuple[bool, float]:
    """How well somebody can be seen in a box: whole, then large."""
    left, top, right, bottom = box
    whole = left >= EDGE and top >= EDGE and right <= 1.0 - EDGE and bottom <= 1.0 - EDGE
    return whole, (right - left) * (bottom - top)
