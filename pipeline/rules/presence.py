"""Who is present: tracks seen just now and those hidden for a moment, each under a lasting id."""

from dataclasses import dataclass, field

from pipeline.core.geometry import Point, Polygon, contains
from pipeline.core.rules import Observation
from pipeline.core.tracks import Track
from pipeline.rules.context import RuleContext
from pipeline.rules.stitching import Trail, continued, memory_s, trail_of


@dataclass(slots=True)
class PresenceMemory:
    """The trails of all who are present, by track id."""

    trails: dict[int, Trail] = field(default_factory=dict)
    run: str = ""
    seen_at: float = 0.0
    patience_s: float = 0.0
    """How long hidden people currently count as present."""


class ZonePresence:
    """Keeps track of who is in the picture despite missed detections and changed ids.

    A detector misses a person in about one picture in seven. To count these people too, a track
    stays for `memory_s` after it was last seen, or for `at_least_s` where that is longer.
    """

    def __init__(self, context: RuleContext, at_least_s: float = 0.0) -> None:
        self.memory = PresenceMemory()
        self._aspect = context.aspect
        self._every_s = context.every_s
        self._at_least_s = at_least_s

    def see(self, seen: Observation) -> dict[int, int]:
        """Process a frame; returns the old id of each new id that continues a vanished one."""
        if seen.run != self.memory.run:  # track ids start over with each run
            self.memory.run, self.memory.trails = seen.run, {}
        pause_s, self.memory.seen_at = seen.at - self.memory.seen_at, seen.at
        patience_s = max(memory_s(self._every_s, pause_s), self._at_least_s)
        self.memory.patience_s = patience_s
        trails = self.memory.trails
        present = {track.id for track in seen.tracks}
        renamed: dict[int, int] = {}
        for track in seen.tracks:
            if track.id not in trails:
                old = continued(trails, present, self._first(track), patience_s)
                if old is None:
                    trails[track.id] = self._first(track)
                else:
                    trails[track.id] = trails.pop(old)
                    renamed[track.id] = old
            for step in track.steps:
                trails[track.id].go(step, self._aspect)
        for id_ in [i for i, trail in trails.items() if seen.at - trail.at > patience_s]:
            del trails[id_]
        return renamed

    def inside(self, zone: Polygon | None) -> list[int]:
        """The ids of all who are in a zone or were last seen there; without a zone, of everyone."""
        trails = self.memory.trails
        return [i for i in sorted(trails) if is_inside(zone, self.place(i))]

    def place(self, id_: int) -> Point:
        """Where the feet of a present track are, or were last seen, in 0..1 of the frame."""
        xy = self.memory.trails[id_].xy
        return (xy[0] / self._aspect, xy[1])

    def _first(self, track: Track) -> Trail:
        return trail_of(track.steps[0], self._aspect)


def is_inside(zone: Polygon | None, place: Point) -> bool:
    """Whether a position in the frame (0..1) is in a zone; without a zone, always."""
    return zone is None or contains(zone, place)
