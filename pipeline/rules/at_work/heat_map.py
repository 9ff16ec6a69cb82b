"""Where people stand and walk: the time that feet spent in each cell of a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.answers import Boxes
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Point
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.heat_map import CELL, HeatMapConfig, cell_name
from pipeline.rules.memory import dump, load
from pipeline.rules.minutes import LEAST_REACH_S, STANDS_FOR, Minutes, MinutesMemory
from pipeline.rules.zones import ground_of


@dataclass(slots=True)
class _HeatMapState:
    version: ClassVar[int] = 1
    minutes: MinutesMemory
    run: str = ""
    known_at: float | None = None
    """The last known look of the run."""


class HeatMap:
    """Adds the time since the look before to the cell of everybody's feet.

    No more of it than a look stands for in minutes: what happened in a gap is not guessed.
    """

    def __init__(self, config: HeatMapConfig, context: RuleContext) -> None:
        zone = context.zone(config.zone)
        self._ground = None if zone is None else ground_of(zone, context.aspect)
        self._columns = config.columns
        self._rows = max(1, round(config.columns / context.aspect))
        self._reach_s = max(STANDS_FOR * context.every_s, LEAST_REACH_S)
        self._minutes = Minutes(context, config.measures, beside=CELL)
        self._memory = _HeatMapState(self._minutes.memory)

    def judge(self, seen: Observation) -> Verdict:
        """Add one more look."""
        memory = self._memory
        if seen.run != memory.run:
            memory.run, memory.known_at = seen.run, None
        known = isinstance(seen.answer, Boxes)
        self._minutes.sample(seen.at, 0 if known else None)
        if known:
            pause_s = 0.0 if memory.known_at is None else seen.at - memory.known_at
            memory.known_at = seen.at
            for track in seen.tracks:
                before_at: float | None = None
                for step in track.steps:
                    feet = _feet(step)
                    stood_s = pause_s if before_at is None else step.at - before_at
                    before_at = step.at
                    self._add(step.at, feet, min(max(stood_s, 0.0), self._reach_s))
        return Verdict((), self._minutes.closed(seen.at))

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """Whose feet are where time is added; nothing goes on that could be about them."""
        ground = self._ground
        return {
            track.id: None
            for track in tracks
            if ground is None or ground.contains(_feet(track.steps[-1]))
        }

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """Write the last minute."""
        return Verdict((), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(self._memory)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._memory = load(_HeatMapState, state)
        self._minutes.memory = self._memory.minutes

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes; cells of another grid keep their names."""
        self._minutes.inherit(load(_HeatMapState, state).minutes, at)

    def _add(self, at: float, feet: tuple[float, float], seconds: float) -> None:
        if not seconds or (self._ground is not None and not self._ground.contains(feet)):
            return
        column = min(max(int(feet[0] * self._columns), 0), self._columns - 1)
        row = min(max(int(feet[1] * self._rows), 0), self._rows - 1)
        name = cell_name(self._columns, self._rows, column, row)
        self._minutes.count(at, person_s=seconds, **{name: seconds})


def _feet(step: Step) -> Point:
    return step.anchor if step.feet is None else step.feet.place
