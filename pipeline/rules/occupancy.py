"""How many are in a zone or the whole picture, minute by minute, and whether that is too many or
too few for long.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Point, Polygon, bottom_centre, contains
from pipeline.core.ports import Observation, Verdict
from pipeline.core.tasks import Count, Detect, Task
from pipeline.core.tasks import Point as PointTask
from pipeline.rules.base import References, TaskTypes
from pipeline.rules.context import RuleContext
from pipeline.rules.limits import Limit, LimitFields, Reading


class OccupancyConfig(LimitFields):
    """How many there are at a time; without a limit it only fills the minutes."""

    type: Literal["occupancy"] = "occupancy"
    zone: str | None = Field(
        default=None, description="Name of one of the camera's zones; the whole picture without."
    )

    accepts: ClassVar[TaskTypes] = (Detect, PointTask, Count)

    def references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def refusals(self, task: Task) -> Iterator[str]:
        """A bare number has no place in the picture."""
        yield from super().refusals(task)
        if self.zone is not None and isinstance(task, Count):
            yield (
                f"{task.id!r} counts without saying where, so it cannot tell who is in zone "
                f"{self.zone!r}; use a detect or point task"
            )

    def build(self, context: RuleContext) -> "Occupancy":
        """The rule at work; raises ConfigError where the zone is missing."""
        return Occupancy(self, context)


class Occupancy:
    """Counts anchors inside a zone: of tracks where the task is tracked, else of what was found."""

    def __init__(self, config: OccupancyConfig, context: RuleContext) -> None:
        about: dict[str, JsonValue] = {} if config.zone is None else {"zone": config.zone}
        self._zone = context.zone(config.zone)
        self._limit = Limit(config, context, about)

    def judge(self, seen: Observation) -> Verdict:
        """What follows from one more frame."""
        return self._limit.judge(seen, self._reading(seen))

    def finish(self, at: float) -> Verdict:
        """Ends what is open, and the last minute."""
        return self._limit.finish(at)

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        return self._limit.state()

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`; raises ValueError where it is none."""
        self._limit.restore(state)

    def _reading(self, seen: Observation) -> Reading | None:
        if isinstance(seen.answer, Failed | Text):
            return None
        if isinstance(seen.answer, Number):
            return None if self._zone else Reading(seen.answer.value, seen.answer.saturated)
        tracked = [track.anchor for track in seen.tracks]
        places = tracked if tracked else _places(seen.answer)
        inside = sum(_is_inside(self._zone, place) for place in places)
        return Reading(inside, seen.answer.saturated)


def _places(answer: Answer) -> list[Point]:
    match answer:
        case Boxes():
            return [bottom_centre(box) for box in answer.boxes_xyxy]
        case Points():
            return list(answer.points_xy)
        case _:
            return []


def _is_inside(zone: Polygon | None, place: Point) -> bool:
    return zone is None or contains(zone, place)
