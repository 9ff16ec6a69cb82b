"""Where feet were, from what was seen: the paths of tracks, and the time spent in each place."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.core.answers import Boxes
from pipeline.core.observations import ObservationHistory, ObservedFrame, frames_of
from pipeline.core.store import Span

COLUMNS, ROWS = 64, 36
MOST_TRAILS, MOST_POINTS = 400, 80
"""Of a picture, and of each."""
_BUDGET_S = 4.0
_LEAST_STEP = 0.004
_LONGEST_STEP_S = 2.0


@dataclass(slots=True)
class WalkedTrail:
    """The path of one track's feet."""

    track: int
    task: str
    points: list[tuple[float, float, float]] = field(default_factory=list)
    """UTC seconds, x and y in 0..1."""

    def thinned(self, most: int) -> list[tuple[float, float, float]]:
        """At most so many of the points, evenly, with the first and the last."""
        if len(self.points) <= most:
            return self.points
        step = (len(self.points) - 1) / (most - 1)
        return [self.points[round(place * step)] for place in range(most)]


@dataclass(frozen=True, slots=True)
class Walks:
    """What was walked in some time."""

    trails: tuple[WalkedTrail, ...]
    """The longest first where there are too many."""
    seconds: dict[tuple[int, int], float]
    """The time that feet spent in each cell, by column and row of a grid over the picture."""
    tracks: int
    """How many there were."""
    since: float
    """From when on they are complete: what is older was left out where there was too much."""


def walks(observations: ObservationHistory, camera: str, span: Span) -> Walks:
    """Trails and heat of a camera; raises StoreError. It takes some seconds at most."""
    until = time.monotonic() + _BUDGET_S
    trails: dict[tuple[str, str, int], WalkedTrail] = {}
    seconds: dict[tuple[int, int], float] = {}
    reached = span.until or 0.0
    before: dict[str, float] = {}
    # From the newest minute back, so that what is left out is the oldest.
    minute: int | None = None
    for block in observations.observations(camera, span=span, newest_first=True):
        if minute is not None and block.minute != minute and time.monotonic() > until:
            break
        minute = block.minute
        before.clear()
        for frame in frames_of(block):
            at = frame.result.captured_at
            if (span.since or 0.0) <= at < (span.until or float("inf")):
                reached = min(reached, at)
                step_s = min(at - before.get(frame.result.engine, at), _LONGEST_STEP_S)
                before[frame.result.engine] = at
                _add(frame, trails, seconds, max(step_s, 0.0))
    for trail in trails.values():
        trail.points.sort()
    found = sorted(trails.values(), key=lambda one: -len(one.points))
    return Walks(tuple(found[:MOST_TRAILS]), seconds, len(found), reached)


def _add(
    frame: ObservedFrame,
    trails: dict[tuple[str, str, int], WalkedTrail],
    seconds: dict[tuple[int, int], float],
    step_s: float,
) -> None:
    at = frame.result.captured_at
    for task, track, x, y in _feet(frame):
        trail = trails.setdefault((frame.result.run, task, track), WalkedTrail(track, task))
        cell = (min(int(x * COLUMNS), COLUMNS - 1), min(int(y * ROWS), ROWS - 1))
        seconds[cell] = seconds.get(cell, 0.0) + step_s
        if trail.points:
            _, last_x, last_y = trail.points[-1]
            if abs(x - last_x) + abs(y - last_y) < _LEAST_STEP:
                continue
        trail.points.append((at, round(x, 4), round(y, 4)))


def _feet(frame: ObservedFrame) -> Iterator[tuple[str, int, float, float]]:
    for task, tracks in frame.tracks.items():
        answer = frame.result.answers.get(task)
        if not isinstance(answer, Boxes):
            continue
        for (x0, _, x1, y1), track in zip(answer.boxes_xyxy, tracks, strict=False):
            if track is not None:
                yield task, track, min(max((x0 + x1) / 2, 0.0), 1.0), min(max(y1, 0.0), 1.0)
