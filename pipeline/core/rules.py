"""The port of a rule: what it is shown, and what it concludes."""

from dataclasses import dataclass
from typing import Literal, Protocol

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


Ending = Literal["stream ended", "edited", "removed"]
"""Why a rule is finished: there is nothing more to see, it begins anew with other terms, or it is
gone from the file."""


class Rule(Protocol):
    """Judges one task's observations of one camera, in time order; has no clock and does no I/O.

    Its life has three turns. It *resumes* by `restore`: from then on it concludes what it would
    have without the break. It *begins anew* when its terms were edited: the old one does `finish`,
    and the new one `inherit`s from it what is true whatever the terms are. It is *retired* by
    `finish` alone.
    """

    def judge(self, seen: Observation) -> Verdict:
        """What follows from one more observation."""
        ...

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """What follows from the end: open happenings end, the last minute is written."""
        ...

    def unfinished(self) -> tuple[Bucket, ...]:
        """What is known so far of minutes that are not over. Asking changes nothing."""
        ...

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`; raises ValueError, and changes nothing, where it is none."""
        ...

    def inherit(self, state: JsonValue, at: float) -> None:
        """Begin, at `at`, with what still holds of an earlier rule of this type and name.

        `state` is the `state()` that the earlier one had after its `finish`. Handed on are the
        minutes that are still open, running totals and a cooldown; never a happening, and nothing
        that was measured against a line or zone. Raises ValueError where it is no state.
        """
        ...
