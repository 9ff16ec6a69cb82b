"""How many are in a zone or the whole picture, minute by minute, and whether that is too many or
too few for long.
"""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.answers import Boxes, Failed, Number, Points, Text
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Point, bottom_centre
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.rules.at_work.limits import Limit, LimitMemory, Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.memory import dump, load
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.rules.presence import PresenceMemory, ZonePresence, is_inside


@dataclass(slots=True)
class _OccupancyState:
    version: ClassVar[int] = 1
    limit: LimitMemory
    presence: PresenceMemory
    tracked: bool = False
    """Tracks were seen, so a frame without any has nobody in it, whatever was detected."""


class Occupancy:
    """Counts feet inside a zone: of tracks where the task is tracked, else of what was found."""

    def __init__(self, config: OccupancyConfig, context: RuleContext) -> None:
        self._zone = context.zone(config.zone)
        self._limit = Limit(config, context, config.type, config.zone)
        self._presence = ZonePresence(context)
        self._memory = _OccupancyState(self._limit.memory, self._presence.memory)

    def judge(self, seen: Observation) -> Verdict:
        """What follows from one more frame."""
        return self._limit.judge(seen, self._reading(seen))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Ends what is open, and the last minute."""
        return self._limit.finish(at, why)

    def unfinished(self) -> tuple[Bucket, ...]:
        """The running minute so far."""
        return self._limit.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`; raises ValueError where it is none."""
        self._memory = load(_OccupancyState, state)
        self._limit.recall(self._memory.limit)
        self._presence.memory = self._memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Go on with an earlier rule's open minutes and cooldown; who is where is seen anew."""
        self._limit.inherit(load(_OccupancyState, state).limit, at)

    def _reading(self, seen: Observation) -> Reading | None:
        answer = seen.answer
        if isinstance(answer, Failed | Text):
            return None
        if isinstance(answer, Number):
            return Reading(answer.value, answer.saturated) if self._zone is None else None
        self._memory.tracked = self._memory.tracked or bool(seen.tracks)
        if self._memory.tracked:
            self._presence.see(seen)
            return Reading(len(self._presence.inside(self._zone)), answer.saturated)
        places = _places(answer)
        return Reading(sum(is_inside(self._zone, place) for place in places), answer.saturated)


def _places(answer: Boxes | Points) -> list[Point]:
    if isinstance(answer, Points):
        return list(answer.points_xy)
    return [bottom_centre(box) for box in answer.boxes_xyxy]
