"""The ports: what the stages expect of the parts that touch the world."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.answers import Answer
from pipeline.core.events import Event, JsonValue
from pipeline.core.frames import Picture, Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.keeping import Checkpoint as Checkpoint
from pipeline.core.keeping import Commit as Commit
from pipeline.core.keeping import Cursor as Cursor
from pipeline.core.keeping import Kept as Kept
from pipeline.core.keeping import MediaStore as MediaStore
from pipeline.core.keeping import Store as Store
from pipeline.core.keeping import Undelivered as Undelivered
from pipeline.core.measures import Bucket
from pipeline.core.tasks import Task
from pipeline.core.tracks import Track


@dataclass(frozen=True, slots=True)
class Need:
    """What the sampler will use of a stream, so that a source decodes no more than that."""

    every_s: float = 0.0
    """Shortest time between two pictures that will be used; 0 means every picture."""
    is_repeat: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Whether all that was read so far was judged before a restart. It changes no picture and no
    time, but a source that keeps the pace of a recording begins to do so where this ends."""


class Source(Protocol):
    """A camera or a file. Opened, read and closed by one thread; may be opened again."""

    @property
    def live(self) -> bool:
        """Whether time goes on without us: live pictures may be dropped, a file's may not."""
        ...

    @property
    def run(self) -> str:
        """Name of this numbering of frames: stable for a file, new for each live start."""
        ...

    def open(self, need: Need) -> None:
        """Connect, within the source's own deadline; raises SourceError."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Pictures in time order until a file ends; raises SourceError when a stream breaks."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What was lost since `open`, by reason (such as `decode error`)."""
        ...

    def close(self) -> None:
        """Let go of everything; safe to call twice, and from another thread to end a read."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a queue did with a job: taken or not, and the older live jobs it let go instead."""

    accepted: bool
    dropped: tuple[Job, ...] = ()
    """Without pixels where the queue is outside this process."""
    answered: bool = False
    """The queue has itself published the failed results of what was dropped."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands. It comes back to another worker if it is not answered in time."""

    id: str
    job: Job
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that no worker survived, kept for a person to look at."""

    id: str
    camera: str
    engine: str
    seq: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits for an engine, and since when (UTC seconds of the oldest frame)."""

    length: int
    oldest: float | None


class JobQueue(Protocol):
    """Jobs from the samplers to the workers; one lane for each engine, fair over cameras."""

    def put(self, job: Job, wait_s: float) -> Receipt:
        """Offer a job.

        A live job is always taken at once; where its camera's lane is full, that camera's oldest
        live jobs are dropped for it. A file's job waits up to `wait_s` for room and is not
        accepted when there was none. Raises QueueError.
        """
        ...

    def claim(self, engine: str, limit: int, wait_s: float) -> list[Claim]:
        """Take up to `limit` jobs of an engine, round-robin over cameras, oldest first in each.

        Waits up to `wait_s` for the first one. Jobs whose worker died come again, with
        `attempts` raised; after the third they are dead letters.
        """
        ...

    def answer(
        self,
        claims: Sequence[Claim],
        results: Sequence[Result],
        wait_s: float,
        keep: Collection[str] = (),
    ) -> bool:
        """Hand on a result for each claim and forget the jobs, all or none.

        False when there was no room for the results for `wait_s`. Safe to repeat: what was
        answered already, by whomever, is passed over, as long as its result is on its way; after
        that a processor recognises it. Pictures of the cameras in `keep` stay on the shelf for a
        while.
        """
        ...

    def backlog(self) -> Mapping[str, Backlog]:
        """What waits, by engine."""
        ...

    def dead_letters(self) -> Sequence[DeadLetter]:
        """Jobs given up on."""
        ...

    def retry(self, dead_letter_id: str) -> bool:
        """Put a dead letter back in its lane; False when there is none of that id."""
        ...

    def drop(self, dead_letter_id: str) -> bool:
        """Forget a dead letter; False when there is none of that id."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """A result in a processor's hands."""

    id: str
    result: Result


class ResultQueue(Protocol):
    """Results from the workers to the processors."""

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Hand results on, all or none; False when there was no room for `wait_s`."""
        ...

    def take(self, limit: int, wait_s: float) -> list[Delivered]:
        """Up to `limit` results, waiting up to `wait_s` for the first."""
        ...

    def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """What the results led to is stored; forget them. Safe to repeat."""
        ...


class PictureShelf(Protocol):
    """Keeps the pictures of frames that were answered for a while, for snapshots."""

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None when they are gone; raises QueueError."""
        ...


@dataclass(frozen=True, slots=True)
class Queues:
    """Both halves of one transport, and the pictures that stay for events."""

    jobs: JobQueue
    results: ResultQueue
    shelf: PictureShelf


class Engine(Protocol):
    """Answers tasks about pictures, many at a time."""

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the engine can make use of; None for no limit."""
        ...

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked. One bad picture or task fails alone, as `Failed`."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class Tracker(Protocol):
    """Boxes in, tracks out; one object per camera and task."""

    def update(
        self, at: float, boxes: Sequence[tuple[float, float, float, float]], scores: Sequence[float]
    ) -> tuple[Track, ...]:
        """The confirmed tracks seen at `at` (UTC seconds, rising), in order of their ids."""
        ...

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`."""
        ...


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

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        ...

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`."""
        ...


class Sink(Protocol):
    """Where events go. `send` is called by one thread, in order."""

    def send(self, events: Sequence[Event]) -> None:
        """Deliver all of them or raise SinkError; the same events may come again after that."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


DROP_REASONS = (
    "motion",
    "rate",
    "stale",
    "queue full",
    "queue away",
    "decode error",
    "worker failure",
    "duplicate",
)
