"""A tracker for 1 to 10 frames per second that works in seconds and body heights, not in frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box, iou
from pipeline.core.ranges import holds_finite
from pipeline.core.tracks import Track
from pipeline.tracking.association import Detections, assigned, costs
from pipeline.tracking.memory import TrackMemory, begun, from_json
from pipeline.tracking.motion import MotionModel

STATE_VERSION = 1
"""Increased when a field of the state changes its meaning or a new one is needed; a state of
another version is not read."""
MISSES = 2
"""A thing is not forgotten before it was missed this often, however low the frame rate."""
UNCONFIRMED_SHARE = 0.5
"""A thing that was never confirmed is forgotten after this share of `forget_after`."""
GONE_S = 0.5
"""A thing is forgotten this long after it left at the edge of the picture: the next one to enter
there is a different one."""
AT_EDGE = 0.01
"""A box this close to the edge of the picture, in 0..1, touches it."""
SAME_IOU = 0.5
"""A box that overlaps a followed one by more than this is a second box of the same thing."""
TICK_S = 1e-3
"""Times are compared to the millisecond: the last bits of UTC seconds are noise."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """A tracker's settings; TrackerConfig says what they mean."""

    label: str
    start_score: float
    confirm_after_s: float
    forget_after_s: float
    speed: float
    aspect: float


class BoxTracker:
    """Boxes in, tracks out, from position and size alone; one object for each camera and task.

    Every box is compared with every thing by how likely the thing is there after the time that has
    passed, and the best overall assignment is used. The steps that rules see are boxes of whole
    things: hidden feet are assumed to be a body's height below the head. The same boxes at the same
    times always give the same tracks.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._model = MotionModel(settings.speed, settings.aspect)
        self._things: list[TrackMemory] = []
        self._next_id = 1

    def update(self, at: float, boxes: Sequence[Box], scores: Sequence[float]) -> tuple[Track, ...]:
        """The confirmed tracks seen at `at` (UTC seconds, rising), in order of their ids."""
        faint = [score < self._settings.start_score for score in scores]
        pairs = assigned(costs(self._things, Detections(at, boxes, faint), self._model))
        for thing in self._things:
            thing.missed += 1
        for row, column in pairs:
            self._things[row].see(at, boxes[column], scores[column], self._model)
        followed = {column for _, column in pairs}
        self._things = [thing for thing in self._things if not self._is_over(thing, at)]
        self._begin(at, boxes, scores, followed)
        return self._shown()

    def state(self) -> JsonValue:
        """Everything needed to resume exactly after a restart."""
        things: list[JsonValue] = [thing.to_json() for thing in self._things]
        return {"version": STATE_VERSION, "next_id": self._next_id, "things": things}

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        try:
            kept = _mapping(state)
            _check_numbers(kept)
            _check_version(kept.get("version", 1))  # the first had no number
            things = [from_json(_mapping(thing), self._model) for thing in kept["things"]]
            self._next_id, self._things = int(kept["next_id"]), things
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"not the state of a tracker: {error!r}") from error

    def _begin(
        self, at: float, boxes: Sequence[Box], scores: Sequence[float], followed: set[int]
    ) -> None:
        known = [boxes[column] for column in sorted(followed)]
        for column in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
            box, score = boxes[column], scores[column]
            if column in followed or score < self._settings.start_score:
                continue
            if any(iou(box, other) > SAME_IOU for other in known):
                continue
            known.append(box)
            self._things.append(begun(at, box, score, self._model))

    def _is_over(self, thing: TrackMemory, at: float) -> bool:
        if thing.missed < MISSES:
            return False
        limit_s = self._settings.forget_after_s
        if thing.id is None:
            limit_s *= UNCONFIRMED_SHARE
        elif self._has_left(thing, at):
            limit_s = min(limit_s, GONE_S)
        return at - thing.last_at > limit_s - TICK_S

    def _has_left(self, thing: TrackMemory, at: float) -> bool:
        """Whether it was last seen at an edge of the picture, and should be beyond it by now."""
        expected = thing.expected(at, self._model)
        x, y = expected.x / self._model.aspect, expected.y
        x_min, y_min, x_max, y_max = thing.last_box
        half_width, half_height = (x_max - x_min) / 2, (y_max - y_min) / 2
        return (
            max(x_min, x - half_width) < AT_EDGE
            or max(y_min, y - half_height) < AT_EDGE
            or min(x_max, x + half_width) > 1.0 - AT_EDGE
            or min(y_max, y + half_height) > 1.0 - AT_EDGE
        )

    def _shown(self) -> tuple[Track, ...]:
        tracks = []
        for thing in self._things:
            if thing.missed:
                continue
            if thing.id is None:
                seen_for_s = thing.last_at - thing.first_at
                if thing.seen < 2 or seen_for_s <= self._settings.confirm_after_s - TICK_S:
                    continue
                thing.id, self._next_id = self._next_id, self._next_id + 1
            tracks.append(
                Track(
                    id=thing.id,
                    label=self._settings.label,
                    score=thing.last_score,
                    first_seen=thing.first_at,
                    steps=tuple(thing.unshown),
                )
            )
            thing.unshown.clear()
        return tuple(sorted(tracks, key=lambda track: track.id))


def _check_numbers(state: Any) -> None:
    if not holds_finite(state):
        raise ValueError("it holds a number that is none of a picture's")


def _check_version(version: object) -> None:
    if version != STATE_VERSION:
        raise ValueError(f"it has version {version!r}; this release reads {STATE_VERSION}")


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, got {type(value).__name__}")
    return value
