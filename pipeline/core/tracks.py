"""A track is one thing seen over time by one camera."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box, Point, bottom_centre


@dataclass(slots=True, unsafe_hash=True)
class Feet:
    """Where a thing touches the ground, how tall it is, and how sure that is.

    Never changed, but neither this nor Step nor Track is frozen: one of each is made for every
    thing in every look, and that is then three times as fast.
    """

    place: Point
    """The best estimate from all boxes so far, in 0..1 of the frame. Who is cut by the lower edge
    stands on that edge."""
    noise: float
    """Its standard deviation in picture heights."""
    seen: Point
    """What this box alone says, with hidden feet put where they should be, in 0..1."""
    seen_noise: float
    """Its standard deviation in picture heights. The errors of a detector last a little, so that
    looks that follow each other fast are given a larger one."""
    height: float
    """Of the whole thing, in picture heights."""


@dataclass(slots=True, unsafe_hash=True)
class Step:
    """Where a track was seen at one moment, `at` UTC seconds: its box, as it was detected."""

    at: float
    box: Box
    feet: Feet | None = None
    """What the tracker makes of it; None for steps of a tracker that knows boxes alone."""

    @property
    def anchor(self) -> Point:
        """Bottom centre of the box: where a person or vehicle touches the ground."""
        return bottom_centre(self.box)


@dataclass(slots=True, unsafe_hash=True)
class Track:
    """A confirmed track that was seen in the current frame.

    `steps` holds what rules have not seen yet, oldest first; the last one is from this frame. It
    has more than one entry when the track was only confirmed now, or was lost for some frames and
    found again (positions are never interpolated: a gap is a gap).
    """

    id: int
    """Unique within a camera's tracker, from 1, never used again."""
    label: str
    score: float
    first_seen: float
    steps: tuple[Step, ...]

    @property
    def box(self) -> Box:
        """The box in this frame, 0..1."""
        return self.steps[-1].box

    @property
    def anchor(self) -> Point:
        """Bottom centre of this frame's box."""
        return self.steps[-1].anchor


class Tracker(Protocol):
    """Boxes in, tracks out; one object for each camera and task, or tasks that share it."""

    def update(
        self,
        at: float,
        boxes: Sequence[tuple[float, float, float, float]],
        scores: Sequence[float],
        kinds: Sequence[Mapping[str, float]] = (),
        asked: Collection[str] = (),
        carried: Collection[Box] = (),
    ) -> tuple[Track, ...]:
        """The confirmed tracks seen at `at` (UTC seconds, increasing), in order of their ids.

        `kinds` and `asked` are for things of several kinds: the scores of each box by kind, and the
        kinds that were looked for. Boxes that are `carried` over from an earlier look keep a track
        where it is, and nothing is learned from them.
        """
        ...

    @property
    def withholds(self) -> bool:
        """Whether it follows something that it does not show, for lack of evidence."""
        ...

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError, and changes nothing, for anything else."""
        ...
