"""Nobody where somebody should be: an empty till, a desk that is left, a machine alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.events import Event, JsonValue, Subject, event_id, timestamp
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.absence import AbsenceConfig
from pipeline.rules.at_work.headcount import HeadCount
from pipeline.rules.at_work.limits import Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Ended, Holding, HoldingMemory, HoldingTerms, Started
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import PresenceMemory


@dataclass(slots=True)
class _AbsenceState:
    version: ClassVar[int] = 1
    holding: HoldingMemory
    minutes: MinutesMemory
    presence: PresenceMemory
    tracked: bool = False
    tracked_at: float | None = None


class Absence:
    """A happening while nobody is there. An answer that fails, or a gap, says nothing of it."""

    def __init__(self, config: AbsenceConfig, context: RuleContext) -> None:
        self._config = config
        self._context = context
        self._schedule = context.reporting_time(config)
        self._minutes = Minutes(context, config.measures)
        self._holding = Holding(
            HoldingTerms.of(config.for_, config.gap, config.cooldown, context.every_s)
        )
        self._heads = HeadCount(context, context.zone(config.zone))
        self._memory = _AbsenceState(
            self._holding.memory, self._minutes.memory, self._heads.presence.memory
        )

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more frame."""
        reading = self._heads.read(seen, self._memory)
        # An engine that stopped at its limit of objects has seen somebody, unless in another zone.
        unsure = reading is not None and reading.at_least and not reading.number
        empty = None if reading is None or unsure else not reading.number
        self._minutes.sample(seen.at, None if empty is None else int(empty))
        if reading is not None and empty is not None:
            self._amend(reading, empty)
        was_veiled = self._holding.is_veiled
        changes = self._holding.see(
            seen.at, empty, self._schedule.allows(seen.at), self._config.is_covered(seen)
        )
        for change in changes:
            if isinstance(change, Started):
                self._minutes.count(seen.at, absences=1)
        withheld = int(self._holding.is_veiled and not was_veiled)
        events = tuple(self._event(seen.at, change, seen) for change in changes)
        return Verdict(events, self._minutes.closed(seen.at), withheld)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who is there; an absence is about none of them."""
        return dict.fromkeys(self._heads.inside(self._memory))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End an open happening and write the last minute."""
        events = tuple(self._event(at, change, None) for change in self._holding.finish(why))
        return Verdict(events, self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_AbsenceState, state)
        self._holding.memory = self._memory.holding
        self._minutes.memory = self._memory.minutes
        self._heads.presence.memory = self._memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; positions are not carried over."""
        earlier = load(_AbsenceState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._holding.inherit(earlier.holding, at)

    def _amend(self, reading: Reading, empty: bool) -> None:
        """Whoever is shown late was there before; it was empty since the last one left."""
        came = [known.since for known in reading.hindsight if known.more > 0]
        left = [known.since for known in reading.hindsight if known.more < 0]
        if came:
            self._minutes.amend(min(came), -1)
        elif empty and left:
            self._minutes.amend(max(left), 1)

    def _event(self, at: float, change: Started | Ended, seen: Observation | None) -> Event:
        context, zone = self._context, self._config.zone
        data: dict[str, JsonValue] = {} if zone is None else {"zone": zone}
        data["since"] = timestamp(change.since)
        if isinstance(change, Started):
            data["seconds"] = round(at - change.since, 3)
        data |= change.data()
        return Event(
            id=event_id(context.camera, context.rule, str(zone), change.since),
            type=self._config.type,
            phase=change.phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=None if context.label is None else Subject(context.label),
            data=data,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
