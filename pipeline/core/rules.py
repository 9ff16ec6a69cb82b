"""The port of a rule: what it is shown, and what it concludes."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.core.answers import Answer
from pipeline.core.events import Event, JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.tracks import Track


@dataclass(frozen=True, slots=True)
class Observation:
    """What a rule is shown of one result: the answer to its task, and tracks where it has boxes."""

    camera: str
    run: str
    seq: int
    at: float
    """UTC seconds, the frame's captured_at."""
    answer: Answer
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule concludes from one observation."""

    events: tuple[Event, ...] = ()
    buckets: tuple[Bucket, ...] = ()


class Rule(Protocol):
    """Judges one task's observations of one camera, in time order; has no clock and does no I/O."""

    def judge(self, seen: Observation) -> Verdict:
        """What follows from one more observation."""
        ...

    def finish(self, at: float) -> Verdict:
        """What follows from the end of the stream: open happenings end, the last minute closes."""
        ...

    def unfinished(self) -> tuple[Bucket, ...]:
        """What is known so far of minutes that are not over. Asking changes nothing."""
        ...

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`."""
        ...
