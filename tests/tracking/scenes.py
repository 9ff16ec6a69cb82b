"""Small worlds of walkers, seen at any frame rate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.core.geometry import Box
from pipeline.core.tracks import Track
from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.tracker import BoxTracker

START = 1_700_000_000.0
HEIGHT = 0.15
"""A walker's height in the picture; at 16:9 its width is a quarter of that."""

Path = Callable[[float], tuple[float, float] | None]
"""Where a walker's feet are (x, y in 0..1) some seconds into the scene; None while unseen."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the detector says at one moment."""

    at: float
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]


def standing(x: float, y: float, height: float = HEIGHT) -> Box:
    """The box of a person whose feet are at (x, y)."""
    return (x - height / 8, y - height, x + height / 8, y)


def walking(
    start: tuple[float, float],
    velocity: tuple[float, float],
    hidden: tuple[float, float] | None = None,
) -> Path:
    """A straight walk, unseen between two times; velocity in picture sizes a second."""

    def path(at_s: float) -> tuple[float, float] | None:
        if hidden is not None and hidden[0] < at_s < hidden[1]:
            return None
        return (start[0] + velocity[0] * at_s, start[1] + velocity[1] * at_s)

    return path


def looks(paths: Sequence[Path], fps: float, seconds: float, score: float = 0.6) -> list[Look]:
    """What is seen of the walkers at a frame rate."""
    seen = []
    for frame in range(int(seconds * fps) + 1):
        feet = [path(frame / fps) for path in paths]
        boxes = tuple(standing(*place) for place in feet if place is not None)
        seen.append(Look(START + frame / fps, boxes, (score,) * len(boxes)))
    return seen


def person_tracker(config: TrackerConfig | None = None) -> BoxTracker:
    """A tracker of people as it comes, or of a config."""
    return (config or TrackerConfig()).build("person")


def run(tracker: BoxTracker, seen: Iterable[Look]) -> list[tuple[Track, ...]]:
    """The tracks of each look."""
    return [tracker.update(look.at, look.boxes, look.scores) for look in seen]


def ids(shown: Iterable[tuple[Track, ...]]) -> set[int]:
    """All ids ever shown."""
    return {track.id for tracks in shown for track in tracks}


def way(shown: Iterable[tuple[Track, ...]], id_: int) -> list[tuple[float, float, float]]:
    """(seconds, x, y) of every step shown of one track."""
    return [
        (step.at - START, *step.anchor)
        for tracks in shown
        for track in tracks
        if track.id == id_
        for step in track.steps
    ]
