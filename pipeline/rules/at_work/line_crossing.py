"""Counts crossings of a directed line, in and out, at low frame rates and with changing ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id
from pipeline.core.measures import Bucket
from pipeline.core.rules import NOTHING, Ending, Observation, TrackAnswer, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.staffing import Staff, StaffMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.crossers import Crossed, Crossers, CrossersMemory
from pipeline.rules.groups import Groups, GroupsMemory
from pipeline.rules.holding import still_quiet
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory


@dataclass(slots=True, kw_only=True)
class _CrossingState(CrossersMemory):
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    seq: int = 0
    coverage: float = 1.0
    """As of the last frame, for what is only sure at the end."""
    entered: int = 0
    left: int = 0
    quiet_until: float | None = None
    suppressed: int = 0
    withheld: int = 0
    """Crossings since the last event that were not reported for lack of answered frames."""
    groups: GroupsMemory = field(default_factory=GroupsMemory)
    staff: StaffMemory = field(default_factory=StaffMemory)


class LineCrossing:
    """Counts every track's crossings of one line, and the groups in which they cross."""

    def __init__(self, config: LineCrossingConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        line = context.line(config.line)
        self._crossers = Crossers(line, context, config.margin, door=config.door)
        self._schedule = context.reporting_time(config)
        self._minutes = Minutes(context, config.recorded())
        self._groups = Groups(config.group_within.total_seconds(), config.group_apart)
        self._staff = None if config.staff is None else Staff(config.staff, context)
        self._use(_CrossingState(minutes=self._minutes.memory, groups=self._groups.memory))
        self._withheld = 0

    def judge(self, seen: Observation) -> Verdict:
        """The crossings that this frame completes, in time order."""
        memory = self._memory
        memory.seq, memory.coverage = seen.seq, seen.coverage
        self._minutes.sample(seen.at, 0 if isinstance(seen.answer, Boxes) else None)
        self._withheld = 0
        if self._staff is not None and isinstance(seen.answer, Boxes):
            for deed in self._staff.see(seen):
                self._minutes.count(deed.at, **{deed.name: 1})
        crossed = self._crossers.see(seen)
        events = self._count(seen, crossed) if crossed else ()
        return self._verdict(seen.at, events, self._minutes.closed(seen.at))

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> Verdict:
        """Who has turned out to be staff, or not."""
        self._withheld = 0
        if self._staff is not None:
            for deed in self._staff.hear(at, told):
                self._minutes.count(deed.at, **{deed.name: 1})
        return self._verdict(at, [], ())

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who has crossed, as long as he is followed; without staff."""
        staff = self._staff
        return {
            id_: id_ for id_ in self._crossers.crossed() if staff is None or not staff.is_staff(id_)
        }

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Count who was likely beyond the line at the end, and write the last minute."""
        memory = self._memory
        seen = Observation(
            self._context.camera,
            memory.run,
            memory.seq,
            at,
            Boxes("", (), ()),
            coverage=memory.coverage,
        )
        events = self._count(seen, self._crossers.finish(at))
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
        self._use(load(_CrossingState, state))

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes, totals and cooldown.

        Paths are not carried over: a person halfway across the line starts there.
        """
        earlier, memory = load(_CrossingState, state), self._memory
        self._minutes.inherit(earlier.minutes, at)
        memory.entered, memory.left = earlier.entered, earlier.left
        cooldown_s = self._config.cooldown.total_seconds()
        memory.quiet_until = still_quiet(earlier.quiet_until, at, cooldown_s)
        memory.suppressed, memory.withheld = earlier.suppressed, earlier.withheld

    def _verdict(self, at: float, events: Sequence[Event], buckets: tuple[Bucket, ...]) -> Verdict:
        if self._staff is None:
            some = events or buckets or self._withheld
            return Verdict(tuple(events), buckets, self._withheld) if some else NOTHING
        return Verdict(
            tuple(self._staff.let_go(events, at)),
            buckets,
            self._withheld,
            self._staff.take_questions(),
            self._staff.take_waiting(),
        )

    def _use(self, memory: _CrossingState) -> None:
        self._memory = self._crossers.memory = memory
        self._minutes.memory, self._groups.memory = memory.minutes, memory.groups
        if self._staff is not None:
            self._staff.use(memory.staff)

    def _count(self, seen: Observation, crossings: Sequence[Crossed]) -> list[Event]:
        memory, events = self._memory, []
        for crossed in crossings:
            inwards = crossed.direction > 0
            memory.entered += inwards
            memory.left += not inwards
            self._minutes.count(crossed.at, entered=int(inwards), left=int(not inwards))
            is_staff = self._staff is not None and self._staff.is_staff(crossed.id)
            if self._config.groups and not is_staff and self._groups.is_new(crossed):
                name = "groups_in" if inwards else "groups_out"
                self._minutes.count(crossed.at, **{name: 1})
            if self._staff is not None:
                name = "staff_in" if inwards else "staff_out"
                deed = self._staff.did(crossed.id, crossed.at, name)
                if deed is not None:
                    self._minutes.count(deed.at, **{deed.name: 1})
            if self._may_speak(seen, crossed.at):
                events.append(self._event(seen, crossed))
        return events

    def _may_speak(self, seen: Observation, at: float) -> bool:
        memory = self._memory
        if not self._schedule.allows(at):
            return False
        if not self._config.is_covered(seen):
            memory.withheld += 1
            self._withheld += 1
            return False
        if memory.quiet_until is not None and at < memory.quiet_until:
            memory.suppressed += 1
            return False
        cooldown_s = self._config.cooldown.total_seconds()
        memory.quiet_until = at + cooldown_s if cooldown_s > 0 else None
        return True

    def _event(self, seen: Observation, crossed: Crossed) -> Event:
        inwards = crossed.direction > 0
        memory, names = self._memory, self._config.names
        data: dict[str, JsonValue] = {
            "line": self._config.line,
            "direction": "in" if inwards else "out",
            "name": names.in_ if inwards else names.out,
            "in": memory.entered,
            "out": memory.left,
        }
        if memory.suppressed:
            data["suppressed"], memory.suppressed = memory.suppressed, 0
        if memory.withheld:
            data["withheld"], memory.withheld = memory.withheld, 0
        return Event(
            id=event_id(seen.camera, self._context.rule, str(crossed.id), crossed.at),
            type=self._config.type,
            phase="single",
            camera=seen.camera,
            rule=self._context.rule,
            at=crossed.at,
            subject=Subject(crossed.label or self._context.label or "", crossed.id, crossed.box),
            data=data,
            seq=seen.seq,
            run=seen.run,
        )
