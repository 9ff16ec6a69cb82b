"""The port of a rule: its input and its output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

from pipeline.core.answers import Answer
from pipeline.core.events import Event, JsonValue
from pipeline.core.geometry import Box
from pipeline.core.measures import Bucket
from pipeline.core.tracks import Track
from pipeline.core.verifying import SecondLook


@dataclass(slots=True, unsafe_hash=True)
class Observation:
    """What a rule sees of one result: the answer to its task, and tracks where it has boxes.

    Never changed, but, like a Track, not frozen: one is made for every task in every look.
    """

    camera: str
    run: str
    seq: int
    at: float
    """UTC seconds, the frame's captured_at."""
    answer: Answer
    tracks: tuple[Track, ...] = ()
    others: tuple[Track, ...] = ()
    """Tracks of the same picture that are of another kind, as far as is known now: what is of this
    kind may have been taken for another before. They are followed and not counted."""
    tracked: bool = False
    """Boxes that are not among the tracks are nothing that counts."""
    coverage: float = 1.0
    """The share of the last minute, 0..1, that answers to the task cover."""
    beside: Mapping[str, tuple[Track, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """What is seen in the same picture of other tasks of the same engine, by task."""


@dataclass(frozen=True, slots=True)
class TrackQuestion:
    """What a rule wants to know about a track, from a picture of it."""

    track: str
    """As `track_name` names it."""
    name: str
    """The name of the question, which no task can have."""
    look: SecondLook
    seen: tuple[tuple[int, Box], ...]
    """Frames by their `seq`, and the track's box in them, the best look first."""
    task: str = ""
    """The task that the track belongs to, which its rules need not know."""


@dataclass(frozen=True, slots=True)
class TrackAnswer:
    """The answer to a question about a track."""

    track: str
    question: str
    """As `SecondLook.key` names it."""
    answer: Answer


def track_name(track: Track) -> str:
    """A name that no other track of a task ever has, as trackers may begin again with number 1."""
    return f"{track.id}@{track.first_seen:.3f}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule concludes from one observation."""

    events: tuple[Event, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    withheld: int = 0
    """Happenings that were not reported because too few frames were answered."""
    questions: tuple[TrackQuestion, ...] = ()
    """To be asked once, whatever becomes of the rule's events meanwhile."""
    waiting: tuple[Event, ...] = ()
    """Events that will follow once an answer is known, while their frame is still there."""


NOTHING = Verdict()
"""What follows from nearly every observation."""

Ending = Literal["stream ended", "edited", "removed"]
"""Why a rule is finished: there is no more input, its terms were edited and it starts over, or it
was removed from the file."""


class Rule(Protocol):
    """Judges one task's observations of one camera, in time order; has no clock and does no I/O.

    There are three transitions. It *resumes* with `restore`, as if it had never been interrupted.
    It *begins anew* when its terms were edited: the old rule calls `finish`, and the new one
    `inherit`s what does not depend on the terms. It is *retired* with `finish` alone.
    """

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more observation."""
        ...

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End open happenings and write the last minute."""
        ...

    def unfinished(self) -> tuple[Bucket, ...]:
        """What is known so far of minutes that are not over. Changes nothing."""
        ...

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError, and changes nothing, for anything else."""
        ...

    def inherit(self, state: JsonValue, at: float) -> None:
        """Start, at `at`, with what still applies from an earlier rule of this type and name.

        `state` is the `state()` of the earlier rule after its `finish`. Open minutes, running
        totals and a cooldown are carried over; happenings, and anything measured against a line or
        zone, are not. Raises ValueError where it is not a state.
        """
        ...


@runtime_checkable
class CountsTracks(Protocol):
    """A rule whose numbers are about things that can be pointed at."""

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """The present ids of what is in its number, of the tracks that it saw last.

        Each comes with the id that the rule's events name, or with None where what goes on is not
        about it. It may name ids that are not among the tracks. Changes nothing, and is asked only
        while somebody watches.
        """
        ...


@runtime_checkable
class HearsOfTracks(Protocol):
    """A rule that has asked about tracks."""

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> Verdict:
        """Take answers, before what was captured at `at` is judged; also those asked by others."""
        ...
