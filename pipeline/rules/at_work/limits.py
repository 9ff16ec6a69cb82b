"""A number that stays over or under a limit for too long; used by `occupancy` and `count`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.events import Event, JsonValue, Phase, Subject, event_id, timestamp
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import NOTHING, Ending, Observation, Verdict
from pipeline.rules.context import RuleContext
from pipeline.rules.holding import Ended, Holding, HoldingMemory, HoldingTerms, Started
from pipeline.rules.limits import MoreThanFields
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.presence import Hindsight
from pipeline.rules.switched import LimitTimes


@dataclass(frozen=True, slots=True)
class Reading:
    """A number, exact or (where the engine stopped at its limit of objects) a lower bound."""

    number: int
    at_least: bool = False
    hindsight: tuple[Hindsight, ...] = ()
    """What the readings before it did not know."""
    box: Box | None = None
    """Around those who make the number, where it is not about the whole zone."""


@dataclass(slots=True)
class LimitMemory:
    """The state of the number and of its happening."""

    holding: HoldingMemory
    minutes: MinutesMemory
    number: int = 0
    """The last known number."""
    extreme: int | None = None
    """The farthest beyond the limit since it began to hold."""
    told: int | None = None
    """The extreme of the last event."""
    told_at: float = 0.0
    updates: int = 0
    box: Box | None = None
    """Around those who made the extreme."""
    more_than: int | None = None
    """The last limit since one was given by hand; None before that."""


class Limit:
    """What the rule does once its number is known: minutes, and a happening with updates."""

    def __init__(
        self, config: MoreThanFields, context: RuleContext, kind: str, zone: str | None = None
    ) -> None:
        self._config = config
        self._limits = LimitTimes(config, context.switches)
        self._more_than = config.more_than
        self._context = context
        self._zone = zone
        self._type = kind
        self._schedule = context.reporting_time(config)
        self._minutes = Minutes(context, config.measures)
        self._holding = Holding(
            HoldingTerms.of(config.for_, config.gap, config.cooldown, context.every_s)
        )
        self.memory = LimitMemory(self._holding.memory, self._minutes.memory)

    def judge(self, seen: Observation, reading: Reading | None) -> Verdict:
        """Judge one more number; `reading` is None where it is unknown."""
        minutes, at = self._minutes, seen.at
        minutes.sample(at, None if reading is None else reading.number)
        if reading is not None and reading.hindsight:
            for known in reading.hindsight:
                minutes.amend(known.since, known.more)
        events: tuple[Event, ...] = ()
        withheld = 0
        self._go_by(self._limits.at(at))
        # A limit that was taken away lets what is open end.
        if self._config.has_limit or self._holding.since is not None:
            was_veiled = self._holding.memory.veiled
            events = tuple(self._judge_limit(seen, reading))
            withheld = int(self._holding.memory.veiled and not was_veiled)
        closed = minutes.closed(at)
        return Verdict(events, closed, withheld) if events or closed or withheld else NOTHING

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End an open happening and write the last minute."""
        events = tuple(self._event(at, change) for change in self._holding.finish(why))
        return Verdict(events, self._minutes.finish(at, why))

    def inherit(self, earlier: LimitMemory, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown."""
        self._minutes.inherit(earlier.minutes, at)
        self._holding.inherit(earlier.holding, at)

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def recall(self, memory: LimitMemory) -> None:
        """Resume from a memory."""
        self.memory = memory
        self._holding.memory = memory.holding
        self._minutes.memory = memory.minutes
        if memory.more_than is not None:
            self._go_by(memory.more_than)

    def _go_by(self, more_than: int | None) -> None:
        """Judge by this limit from now on; nothing else of what is remembered changes."""
        if more_than == self._more_than:
            return
        self._more_than = more_than
        self._config = self._config.model_copy(update={"more_than": more_than})
        if more_than is not None:
            self.memory.more_than = more_than

    def _judge_limit(self, seen: Observation, reading: Reading | None) -> Iterable[Event]:
        memory = self.memory
        breaks = None
        if reading is not None:
            memory.number = reading.number
            breaks = self._config.breaks_limit(reading.number, reading.at_least)
        before = memory.holding.since
        changes = self._holding.see(
            seen.at, breaks, self._schedule.allows(seen.at), self._config.is_covered(seen)
        )
        if before is None and not (changes or breaks or memory.holding.started):
            return ()  # nothing holds, as in nearly every look
        return self._told(seen, reading, breaks, before, changes)

    def _told(
        self,
        seen: Observation,
        reading: Reading | None,
        breaks: bool | None,
        before: float | None,
        changes: Sequence[Started | Ended],
    ) -> Iterator[Event]:
        """What is to be said of a number that holds, or that has held since `before`."""
        memory = self.memory
        for change in changes:
            if isinstance(change, Ended):
                yield self._event(seen.at, change, seen)
        if self._holding.since != before:
            memory.extreme = None
        if breaks and self._holding.since is not None:
            self._go_farther()
            if reading is not None and memory.extreme == reading.number:
                memory.box = reading.box
        for change in changes:
            if isinstance(change, Started):
                yield self._event(seen.at, change, seen)
        if self._holding.started and self._is_news(seen.at):
            memory.updates += 1
            since = self._holding.since
            yield self._tell(seen.at, seen.at if since is None else since, "update", {}, seen)

    def _go_farther(self) -> None:
        memory = self.memory
        known = memory.number if memory.extreme is None else memory.extreme
        farther = max if self._config.limit()[0] == "more_than" else min
        memory.extreme = farther(known, memory.number)

    def _is_news(self, at: float) -> bool:
        memory = self.memory
        waited_s = at - memory.told_at
        return memory.extreme != memory.told and (
            waited_s >= self._config.update_every.total_seconds()
        )

    def _event(self, at: float, change: Started | Ended, seen: Observation | None = None) -> Event:
        if isinstance(change, Started):
            self.memory.updates = 0
        return self._tell(at, change.since, change.phase, change.data(), seen)

    def _tell(
        self,
        at: float,
        since: float,
        phase: Phase,
        more: dict[str, JsonValue],
        seen: Observation | None,
    ) -> Event:
        memory, context, config = self.memory, self._context, self._config
        memory.told, memory.told_at = memory.extreme, at
        name, limit = config.limit()
        if limit is None:  # it was taken away, and what it began ends
            name, limit = "more_than", memory.more_than
        data: dict[str, JsonValue] = {} if self._zone is None else {"zone": self._zone}
        data |= {
            "count": memory.number,
            "extreme": memory.extreme,
            name: limit,
            "since": timestamp(since),
            **more,
        }
        return Event(
            id=event_id(context.camera, context.rule, str(self._zone), since),
            type=self._type,
            phase=phase,
            camera=context.camera,
            rule=context.rule,
            at=at,
            subject=None if context.label is None else Subject(context.label, box=memory.box),
            data=data,
            update=memory.updates if phase == "update" else 0,
            seq=None if seen is None else seen.seq,
            run=None if seen is None else seen.run,
        )
