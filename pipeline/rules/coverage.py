"""How much of the last minute an event stands on: the share that answered frames cover."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.core.events import JsonValue
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import LEAST_REACH_S, STANDS_FOR

COVERAGE = "coverage"
"""The key of an event's data that holds it, 0..1."""
WINDOW_S = 60.0


@dataclass(slots=True)
class _CoverageState:
    version: ClassVar[int] = 1
    run: str = ""
    began_at: float | None = None
    """When the first frame of the run was captured that was answered, or failed."""
    spans: list[tuple[float, float]] = field(default_factory=list)
    """What answered frames cover, oldest first, none of it twice."""


class Coverage:
    """The share of the last minute that the answers to one task cover.

    As in minute buckets, an answered frame covers the time to the next one, but at most twice the
    interval at which the task is asked. Frames that were dropped, lost or failed cover nothing.
    Where the camera's run began less than a minute ago, its beginning counts as the minute's.
    """

    def __init__(self, every_s: float) -> None:
        self._reach_s = max(STANDS_FOR * every_s, LEAST_REACH_S)
        self._memory = _CoverageState()

    def see(self, run: str, at: float, *, answered: bool) -> float:
        """Add a frame; the coverage of the minute before it, 0..1."""
        memory = self._memory
        if run != memory.run or memory.began_at is None:
            self._memory = memory = _CoverageState(run, at)
        share = self.at(at)
        if answered:
            reached = (at, at + self._reach_s)
            if memory.spans and memory.spans[-1][1] >= at:
                memory.spans[-1] = (memory.spans[-1][0], reached[1])
            else:
                memory.spans.append(reached)
        return share

    def at(self, at: float) -> float:
        """The coverage of the minute before `at`."""
        memory = self._memory
        start = at - WINDOW_S
        if memory.spans and memory.spans[0][1] <= start:
            memory.spans = [span for span in memory.spans if span[1] > start]
        if memory.began_at is None or at <= memory.began_at:
            return 1.0
        start = max(start, memory.began_at)
        if len(memory.spans) == 1 and memory.spans[0][0] <= start and memory.spans[0][1] >= at:
            return 1.0  # as nearly always
        return min(1.0, _covered(memory.spans, start, at) / (at - start))

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_CoverageState, state)


def _covered(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(to, end) - max(since, start)) for since, to in spans)
