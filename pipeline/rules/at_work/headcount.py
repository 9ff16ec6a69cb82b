"""How many are in a zone or the picture now: tracks where the task is tracked, else detections."""

from typing import Protocol

from pipeline.core.answers import Boxes, Failed, Number, Points, Text
from pipeline.core.geometry import Polygon, bottom_centre
from pipeline.core.rules import Observation
from pipeline.rules.at_work.limits import Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.presence import Hindsight, PresenceMemory, ZonePresence
from pipeline.rules.zones import ground_of


class HeadCountMemory(Protocol):
    """The fields that a rule's state has for it."""

    presence: PresenceMemory
    tracked: bool
    """There were tracks, or boxes of what does not count: without tracks a frame counts as empty,
    whatever was detected."""
    tracked_at: float | None
    """When that was so for the first time; before it, detections were counted."""


class HeadCount:
    """Counts feet inside a zone: of tracks where the task is tracked, otherwise of detections."""

    def __init__(self, context: RuleContext, zone: Polygon | None) -> None:
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self.presence = ZonePresence(context, zone)
        self._last = Reading(0)
        """What was read last of what holds no news of earlier looks: mostly it is so again."""

    def inside(self, memory: HeadCountMemory) -> list[int]:
        """The ids of who was counted in the last look; nobody's where detections are counted."""
        return self.presence.inside() if memory.tracked else []

    def read(self, seen: Observation, memory: HeadCountMemory) -> Reading | None:
        """How many there are in this frame; None where the answer does not tell."""
        answer = seen.answer
        if not isinstance(answer, Boxes):
            if isinstance(answer, Failed | Text):
                return None
            if isinstance(answer, Number):
                return Reading(answer.value, answer.saturated) if self._ground is None else None
        if (seen.tracked or seen.tracks) and not memory.tracked:
            memory.tracked, memory.tracked_at = True, seen.at
        if memory.tracked:
            self.presence.see(seen)
            number, hindsight = len(self.presence.inside()), self.presence.hindsight
            if not hindsight:
                last = self._last
                if last.number != number or last.at_least != answer.saturated:
                    self._last = last = Reading(number, answer.saturated)
                return last
            if memory.tracked_at is not None:
                hindsight = [
                    Hindsight(max(known.since, memory.tracked_at), known.more)
                    for known in hindsight
                ]
            return Reading(number, answer.saturated, tuple(hindsight))
        if isinstance(answer, Points):
            places = list(answer.points_xy)
        else:
            places = [bottom_centre(box) for box in answer.boxes_xyxy]
        if self._ground is not None:
            places = [place for place in places if self._ground.contains(place)]
        return Reading(len(places), answer.saturated)
