"""Too many who stand close together: the largest group, by distances in body heights."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.limits import Limit, LimitMemory, Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.crowding import CrowdingConfig
from pipeline.rules.memory import dump, load
from pipeline.rules.presence import PresenceMemory, ZonePresence
from pipeline.rules.stitching import Trail

HOLDS = 1.25
"""Two who are in one group stay so until they are this much farther apart than `within`."""


@dataclass(slots=True)
class _CrowdingState:
    version: ClassVar[int] = 1
    limit: LimitMemory
    presence: PresenceMemory
    close: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of ids, the lower one first, that were close in the last look."""


class Crowding:
    """Judges the size of the largest group among all who are there, seen or hidden just now."""

    def __init__(self, config: CrowdingConfig, context: RuleContext) -> None:
        self._config = config
        self._aspect = context.aspect
        self._limit = Limit(config, context, config.type, config.zone)
        self._presence = ZonePresence(context, context.zone(config.zone))
        self._memory = _CrowdingState(self._limit.memory, self._presence.memory)
        self._members: list[int] = []
        """Of the largest group in the last look."""

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more frame."""
        reading = None
        if isinstance(seen.answer, Boxes):
            memory = self._memory
            for new, old in self._presence.see(seen).items():
                memory.close = [_renamed(pair, old, new) for pair in memory.close]
            self._members = members = self._largest(self._presence.inside())
            reading = Reading(len(members), seen.answer.saturated, box=self._box(members))
        return self._limit.judge(seen, reading)

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """The members of the largest group; one alone is none."""
        return {id_: id_ for id_ in self._members} if len(self._members) > 1 else {}

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
        self._memory = load(_CrowdingState, state)
        self._limit.recall(self._memory.limit)
        self._presence.memory = self._memory.presence

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown; positions are not carried over."""
        self._limit.inherit(load(_CrowdingState, state).limit, at)

    def _largest(self, ids: Collection[int]) -> list[int]:
        """The members of the largest group; of several as large, of the one with the lowest id."""
        trails, memory = self._presence.memory.trails, self._memory
        was_close, memory.close = set(memory.close), []
        group = {id_: id_ for id_ in ids}
        for a, b in combinations(sorted(ids), 2):
            within = self._config.within * (HOLDS if (a, b) in was_close else 1.0)
            if _distance(trails[a], trails[b]) <= within:
                memory.close.append((a, b))
                low, high = sorted((group[a], group[b]))
                group = {id_: low if of == high else of for id_, of in group.items()}
        groups: dict[int, list[int]] = {}
        for id_, of in group.items():
            groups.setdefault(of, []).append(id_)
        return max(groups.values(), key=lambda ids: (len(ids), -min(ids)), default=[])

    def _box(self, ids: Collection[int]) -> Box | None:
        """The box around all of them."""
        boxes = [self._presence.memory.bodies[id_].box for id_ in ids]
        if not boxes:
            return None
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return (min(lefts), min(tops), max(rights), max(bottoms))


def _distance(a: Trail, b: Trail) -> float:
    """Between two's feet, in their mean body height."""
    apart = math.hypot(a.xy[0] - b.xy[0], a.xy[1] - b.xy[1])
    return 2 * apart / max(a.height + b.height, 1e-6)


def _renamed(pair: tuple[int, int], old: int, new: int) -> tuple[int, int]:
    a, b = (new if id_ == old else id_ for id_ in pair)
    return (min(a, b), max(a, b))
