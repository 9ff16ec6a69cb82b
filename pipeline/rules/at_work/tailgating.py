"""Two who go through one after the other where each should go alone, such as at a badge door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import Event, JsonValue, Subject, event_id
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.moments import Moments, MomentsMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.crossers import Crossed, Crossers, CrossersMemory
from pipeline.rules.groups import metres_apart
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.tailgating import TailgatingConfig

LATE_S = 10.0
"""Crossings are reported no later than this after the one before them, or after they happened."""


@dataclass(slots=True)
class _Passer:
    """A crossing of the last seconds."""

    crossed: Crossed
    followed: bool = False
    """Whether somebody is known to have gone before it."""


@dataclass(slots=True)
class _TailgatingState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    crossers: CrossersMemory
    moments: MomentsMemory
    passages: list[_Passer] = field(default_factory=list)
    seq: int = 0
    coverage: float = 1.0
    """As of the last frame, for what is only sure at the end."""


class Tailgating:
    """Looks at every crossing for the one before it."""

    def __init__(self, config: TailgatingConfig, context: RuleContext) -> None:
        self._config = config
        self._directions = {"in": (1,), "out": (-1,), "both": (1, -1)}[config.direction]
        self._context = context
        line = context.line(config.line)
        self._crossers = Crossers(line, context, config.margin, door=config.door)
        self._moments = Moments(config, context)
        self._minutes = Minutes(context, config.measures)
        self._memory = _TailgatingState(
            self._minutes.memory, self._crossers.memory, self._moments.memory
        )

    def judge(self, seen: Observation) -> Verdict:
        """Those who have followed somebody, as this frame shows."""
        memory = self._memory
        memory.seq, memory.coverage = seen.seq, seen.coverage
        if seen.run != self._crossers.memory.run:
            memory.passages = []  # the time between two runs is not known
        self._minutes.sample(seen.at, 0 if isinstance(seen.answer, Boxes) else None)
        events = self._events(seen, self._crossers.see(seen))
        withheld = self._moments.take_withheld()
        return Verdict(tuple(events), self._minutes.closed(seen.at), withheld)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who went last in a direction that is watched."""
        wanted = self._directions
        return {id_: id_ for id_, to in self._crossers.crossed().items() if to in wanted}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Judge who was likely beyond the line at the end, and write the last minute."""
        memory = self._memory
        seen = Observation(
            self._context.camera,
            self._crossers.memory.run,
            memory.seq,
            at,
            Boxes("", (), ()),
            coverage=memory.coverage,
        )
        events = self._events(seen, self._crossers.finish(at))
        return Verdict(tuple(events), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_TailgatingState, state)
        self._minutes.memory = self._memory.minutes
        self._crossers.memory = self._memory.crossers
        self._moments.memory = self._memory.moments

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown.

        Paths and who went before are not carried over.
        """
        earlier = load(_TailgatingState, state)
        self._minutes.inherit(earlier.minutes, at)
        self._moments.inherit(earlier.moments, at)

    def _events(self, seen: Observation, crossings: Sequence[Crossed]) -> list[Event]:
        events: list[Event] = []
        passages = self._memory.passages
        for crossed in crossings:
            if crossed.direction not in self._directions:
                continue
            self._minutes.count(crossed.at, passed=1)
            passages.append(_Passer(crossed))
            passages.sort(key=lambda passage: passage.crossed.at)
            # What is reported late may also have gone before one that is known already.
            for passage in passages:
                before = None if passage.followed else self._before(passage.crossed)
                if before is None:
                    continue
                passage.followed = True
                self._minutes.count(passage.crossed.at, followed=1)
                if self._moments.may_speak(seen, passage.crossed.at):
                    events.append(self._event(seen, before, passage.crossed))
        oldest = seen.at - self._config.within.total_seconds() - LATE_S
        self._memory.passages = [p for p in passages if p.crossed.at >= oldest]
        return events

    def _before(self, crossed: Crossed) -> Crossed | None:
        """The last one who crossed in the same direction shortly before."""
        within_s = self._config.within.total_seconds()
        found = None
        for passage in self._memory.passages:
            other = passage.crossed
            if other is crossed:
                break  # those after it follow it
            ago_s = crossed.at - other.at
            alike = other.direction == crossed.direction and other.id != crossed.id
            if alike and ago_s <= within_s and self._is_close(other, crossed):
                found = other
        return found

    def _is_close(self, a: Crossed, b: Crossed) -> bool:
        apart = self._config.apart
        return apart is None or metres_apart((a.along, a.height), (b.along, b.height)) <= apart

    def _event(self, seen: Observation, before: Crossed, crossed: Crossed) -> Event:
        data: dict[str, JsonValue] = {
            "line": self._config.line,
            "direction": "in" if crossed.direction > 0 else "out",
            "seconds": round(crossed.at - before.at, 3),
            "after": before.id,
            **self._moments.missed(),
        }
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
