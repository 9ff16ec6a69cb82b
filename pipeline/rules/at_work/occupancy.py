"""How many are in a zone or the whole picture, minute by minute, and whether there are too many or
too few for too long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.events import JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.headcount import HeadCount
from pipeline.rules.at_work.limits import Limit, LimitMemory
from pipeline.rules.context import RuleContext
from pipeline.rules.memory import dump, load
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.rules.presence import PresenceMemory


@dataclass(slots=True)
class _OccupancyState:
    version: ClassVar[int] = 1
    limit: LimitMemory
    presence: PresenceMemory
    tracked: bool = False
    tracked_at: float | None = None


class Occupancy:
    """Counts feet inside a zone: of tracks where the task is tracked, otherwise of detections."""

    def __init__(self, config: OccupancyConfig, context: RuleContext) -> None:
        self._limit = Limit(config, context, config.type, config.zone)
        self._heads = HeadCount(context, context.zone(config.zone))
        self._memory = _OccupancyState(self._limit.memory, self._heads.presence.memory)

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more frame."""
        return self._limit.judge(seen, self._heads.read(seen, self._memory))

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Who is there."""
        return {id_: id_ for id_ in self._heads.inside(self._memory)}

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
        self._heads.presence.memory = self._memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; positions are not carried over."""
        self._limit.inherit(load(_OccupancyState, state).limit, at)
