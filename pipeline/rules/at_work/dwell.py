"""How long each visitor stays in a zone: one happening per visit, from entering to leaving."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id, timestamp
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import NOTHING, Ending, Observation, TrackAnswer, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.staffing import Staff, StaffMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.dwell import DwellConfig
from pipeline.rules.holding import HoldingTerms, Reason, still_quiet
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import PresenceMemory, ZonePresence


@dataclass(slots=True)
class Visit:
    """One stay of one visitor."""

    track: int
    """The visitor's first track id; the visit keeps it when the tracker assigns another."""
    label: str
    since: float
    inside_at: float
    """When the visitor was last seen inside."""
    box: Box
    outside: bool = False
    """Whether the visitor was seen outside since then."""
    told: bool = False
    silenced: bool = False
    veiled: bool = False
    """Whether a lack of answered frames kept it from being reported."""


@dataclass(slots=True)
class _DwellState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    presence: PresenceMemory
    visits: dict[int, Visit] = field(default_factory=dict)
    """By the track's current id."""
    run: str = ""
    ended: int = 0
    ended_s: float = 0.0
    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0
    staff: StaffMemory = field(default_factory=StaffMemory)


class Dwell:
    """Follows every track's visits; minute buckets hold how many began and ended."""

    def __init__(self, config: DwellConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._schedule = context.reporting_time(config)
        terms = HoldingTerms.of(config.longer_than, config.gap, config.cooldown, context.every_s)
        self._terms = terms
        self._minutes = Minutes(context, config.recorded())
        self._presence = ZonePresence(context, context.zone(config.zone), terms.gap_s)
        self._staff = None if config.staff is None else Staff(config.staff, context)
        self._memory = _DwellState(self._minutes.memory, self._presence.memory)
        if self._staff is not None:
            self._memory.staff = self._staff.memory

    def judge(self, seen: Observation) -> Verdict:
        """Report visits that end with this frame, then those that have lasted long enough."""
        known = isinstance(seen.answer, Boxes)
        self._minutes.sample(seen.at, 0 if known else None)
        events: list[Event] = []
        if seen.run != self._memory.run:
            # Track ids start over with each run, so no visit continues into a new one.
            self._memory.run = seen.run
            events += self._end_all(seen.at, "unknown")
        if known:
            self._admit(seen)
        withheld = 0
        if seen.tracks or self._memory.visits:
            events += self._dismiss(seen, known)
            veiled = self._veiled()
            events += self._speak(seen)
            withheld = max(0, self._veiled() - veiled)
        return self._verdict(seen.at, events, self._minutes.closed(seen.at), withheld)

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> Verdict:
        """Who has turned out to be staff, or not."""
        if self._staff is not None:
            for deed in self._staff.hear(at, told):
                self._minutes.count(deed.at, **{deed.name: 1})
        return self._verdict(at, [], (), 0)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Whose visit goes on; without staff."""
        staff = self._staff
        return {
            id_: visit.track
            for id_, visit in self._memory.visits.items()
            if staff is None or not staff.is_staff(id_)
        }

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End every visit at the time its visitor was last seen."""
        events = list(self._end_all(at, why))
        if self._staff is not None:
            events = self._staff.let_go(events, at, finally_=True)
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_DwellState, state)
        self._minutes.memory = self._memory.minutes
        self._presence.memory = self._memory.presence
        if self._staff is not None:
            self._staff.use(self._memory.staff)

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes, totals and cooldown.

        Its visits have ended; visitors who are still there begin new ones.
        """
        earlier, memory = load(_DwellState, state), self._memory
        self._minutes.inherit(earlier.minutes, at)
        memory.ended, memory.ended_s = earlier.ended, earlier.ended_s
        memory.quiet_until = still_quiet(earlier.quiet_until, at, self._terms.cooldown_s)
        memory.suppressed, memory.withheld = earlier.suppressed, earlier.withheld

    def _verdict(
        self, at: float, events: Sequence[Event], buckets: tuple[Bucket, ...], withheld: int
    ) -> Verdict:
        if self._staff is None:
            some = events or buckets or withheld
            return Verdict(tuple(events), buckets, withheld) if some else NOTHING
        return Verdict(
            tuple(self._staff.let_go(events, at)),
            buckets,
            withheld,
            self._staff.take_questions(),
            self._staff.take_waiting(),
        )

    def _admit(self, seen: Observation) -> None:
        if self._staff is not None:
            for deed in self._staff.see(seen):
                self._minutes.count(deed.at, **{deed.name: 1})
        visits = self._memory.visits
        for new, old in self._presence.see(seen).items():
            if old in visits:
                visits[new] = visits.pop(old)
        for track in seen.others:
            visit = visits.get(track.id)
            if visit is not None and not visit.told:  # it was never a visit of this kind
                del visits[track.id]
                self._minutes.count(visit.since, entered=-1)
        for track in seen.tracks:
            visit = visits.get(track.id)
            if visit is None or self._is_over(visit, seen.at):
                continue  # a visit that is over ends first, then the next one begins
            stay = self._presence.stay(track.id)
            visit.outside, visit.inside_at = not stay.inside, stay.until
            if stay.inside:
                visit.box = track.box

    def _is_over(self, visit: Visit, at: float, known: bool = True) -> bool:
        patience_s = self._terms.gap_s if visit.outside else self._presence.memory.patience_s
        if not known:
            patience_s = max(patience_s, self._terms.unknown_s)
        return at - visit.inside_at > patience_s

    def _dismiss(self, seen: Observation, known: bool) -> Iterator[Event]:
        """End visits that are over, and begin visits of those inside who have none."""
        here = {track.id: track for track in seen.tracks} if known else {}
        for id_, visit in sorted(self._memory.visits.items()):
            if self._is_over(visit, seen.at, known):
                yield from self._end(id_, seen.at, "over" if known else "unknown", seen)
        for id_, track in here.items():
            stay = self._presence.stay(id_)
            if stay.inside and id_ not in self._memory.visits:
                since = track.steps[0].at if stay.since is None else stay.since
                visit = Visit(track.id, track.label, since, stay.until, track.box)
                self._memory.visits[id_] = visit
                self._minutes.count(since, entered=1)
                if self._staff is not None and self._staff.did(id_, since, "staff_entered"):
                    self._minutes.count(since, staff_entered=1)

    def _veiled(self) -> int:
        return sum(visit.veiled for visit in self._memory.visits.values())

    def _speak(self, seen: Observation) -> Iterator[Event]:
        memory = self._memory
        for _, visit in sorted(memory.visits.items()):
            lasted_s = visit.inside_at - visit.since
            due = not visit.told and lasted_s >= self._terms.for_s
            if not due or not self._schedule.allows(seen.at):
                continue
            if not self._config.is_covered(seen):
                visit.veiled = True
                continue
            if memory.quiet_until is not None and seen.at < memory.quiet_until:
                visit.silenced = True
                continue
            if self._terms.cooldown_s > 0:
                memory.quiet_until = seen.at + self._terms.cooldown_s
            visit.told, visit.silenced = True, False
            data: dict[str, JsonValue] = {"seconds": round(lasted_s, 3)}
            if memory.suppressed:
                data["suppressed"], memory.suppressed = memory.suppressed, 0
            if memory.withheld:
                data["withheld"], memory.withheld = memory.withheld, 0
            yield self._event(visit, seen.at, data, seen)

    def _end_all(self, at: float, reason: Reason) -> Iterator[Event]:
        for id_ in sorted(self._memory.visits):
            yield from self._end(id_, at, reason, None)

    def _end(
        self, id_: int, at: float, reason: Reason, seen: Observation | None
    ) -> Iterator[Event]:
        memory = self._memory
        visit = memory.visits.pop(id_)
        self._presence.end_stay(id_)
        seconds = visit.inside_at - visit.since
        memory.ended += 1
        memory.ended_s += seconds
        memory.suppressed += visit.silenced
        memory.withheld += visit.veiled and not (visit.told or visit.silenced)
        self._minutes.count(visit.inside_at, left=1)
        if visit.told:
            data: dict[str, JsonValue] = {
                "seconds": round(seconds, 3),
                "until": timestamp(visit.inside_at),
                "reason": reason,
                "visits": memory.ended,
                "mean_seconds": round(memory.ended_s / memory.ended, 3),
            }
            yield self._event(visit, at, data, seen)

    def _event(
        self, visit: Visit, at: float, more: dict[str, JsonValue], seen: Observation | None
    ) -> Event:
        context, zone = self._context, self._config.zone
        data: dict[str, JsonValue] = {} if zone is None else {"zone": zone}
        return Event(
            id=event_id(context.camera, context.rule, str(visit.track), visit.since),
            type=self._config.type,
            phase="end" if "until" in more else "start",
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=Subject(visit.label, visit.track, visit.box),
            data={**data, "since": timestamp(visit.since), **more},
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
