"""How many are in a zone or the whole picture, minute by minute, and whether there are too many or
too few for too long.
"""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.answers import Failed, Number, Points, Text
from pipeline.core.events import JsonValue
from pipeline.core.geometry import bottom_centre
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.rules.at_work.limits import Limit, LimitMemory, Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.memory import dump, load
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.rules.presence import Hindsight, PresenceMemory, ZonePresence
from pipeline.rules.zones import ZoneGround


@dataclass(slots=True)
class _OccupancyState:
    version: ClassVar[int] = 1
    limit: LimitMemory
    presence: PresenceMemory
    tracked: bool = False
    """There were tracks, or boxes of what does not count: without tracks a frame counts as empty,
    whatever was detected."""
    tracked_at: float | None = None
    """When that was so for the first time; before it, detections were counted."""


class Occupancy:
    """Counts feet inside a zone: of tracks where the task is tracked, otherwise of detections."""

    def __init__(self, config: OccupancyConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._ground = None if zone is None else ZoneGround(zone, context.aspect)
        self._limit = Limit(config, context, config.type, config.zone)
        self._presence = ZonePresence(context, zone)
        self._memory = _OccupancyState(self._limit.memory, self._presence.memory)

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more frame."""
        return self._limit.judge(seen, self._reading(seen))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End an open happening and write the last minute."""
        return self._limit.finish(at, why)

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._limit.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_OccupancyState, state)
        self._limit.recall(self._memory.limit)
        self._presence.memory = self._memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; positions are not carried over."""
        self._limit.inherit(load(_OccupancyState, state).limit, at)

    def _reading(self, seen: Observation) -> Reading | None:
        answer = seen.answer
        if isinstance(answer, Failed | Text):
            return None
        if isinstance(answer, Number):
            return Reading(answer.value, answer.saturated) if self._ground is None else None
        memory = self._memory
        if (seen.tracked or seen.tracks) and not memory.tracked:
            memory.tracked, memory.tracked_at = True, seen.at
        if memory.tracked:
            self._presence.see(seen)
            hindsight = self._presence.hindsight
            if memory.tracked_at is not None:
                hindsight = [
                    Hindsight(max(known.since, memory.tracked_at), known.more)
                    for known in hindsight
                ]
            return Reading(len(self._presence.inside()), answer.saturated, tuple(hindsight))
        if isinstance(answer, Points):
            places = list(answer.points_xy)
        else:
            places = [bottom_centre(box) for box in answer.boxes_xyxy]
        if self._ground is not None:
            places = [place for place in places if self._ground.contains(place)]
        return Reading(len(places), answer.saturated)
