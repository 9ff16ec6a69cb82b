"""The ports of the transport between stages: jobs, results, and pictures kept for events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.core.clips import ClipExchange
from pipeline.core.frames import Pixels
from pipeline.core.jobs import Job, Result
from pipeline.core.live import LiveBoard

AHEAD_ROOM: Final = 4
"""How many jobs of a camera and engine that go ahead may wait."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a queue did with a job: accepted it or not, and which older live jobs it dropped."""

    accepted: bool
    dropped: tuple[Job, ...] = ()
    """Without pixels where the queue is outside this process."""
    answered: bool = False
    """Whether the queue itself published failed results for the dropped jobs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker has claimed. Another worker gets it if it is not answered in time."""

    id: str
    job: Job
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was never answered because each of its workers died, kept for inspection."""

    id: str
    camera: str
    engine: str
    seq: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many jobs wait for an engine, and since when (UTC seconds of the oldest live frame).

    When a recording was taken says nothing of how long its frames wait: they do not count for it.
    """

    length: int
    oldest: float | None


class JobQueue(Protocol):
    """Jobs from the samplers to the workers; one lane for each engine, fair over cameras."""

    def put(self, job: Job, wait_s: float) -> Receipt:
        """Offer a job.

        A live job is always accepted at once; where its camera's lane is full, that camera's oldest
        live jobs are dropped. A file's job waits up to `wait_s` for room and is not accepted
        without. One that goes ahead waits only for others that do (`AHEAD_ROOM`). Raises
        QueueError.
        """
        ...

    def claim(
        self, engine: str, limit: int, wait_s: float, *, only_ahead: bool = False
    ) -> list[Claim]:
        """Take up to `limit` jobs of an engine, round-robin over cameras, oldest first in each.

        Those that go ahead come first, but after each of them a frame that waits has its turn, over
        successive claims as well: so people cost the cameras half of an engine at most. With
        `only_ahead` they alone are taken, as many as have their turn before a frame that waits.
        Waits up to `wait_s` for the first one. Jobs whose worker died come again, with a higher
        `attempts`; after the third they become dead letters.
        """
        ...

    def answer(
        self,
        claims: Sequence[Claim],
        results: Sequence[Result],
        wait_s: float,
        keep: Collection[str] = (),
    ) -> bool:
        """Publish a result for each claim and remove the jobs, all or none.

        False when there was no room for the results for `wait_s`. Safe to repeat: jobs that were
        already answered, by any worker, are skipped while their result is on its way; after that a
        processor recognises it. Pictures of the cameras in `keep` stay on the shelf for a while.
        """
        ...

    def backlog(self) -> Mapping[str, Backlog]:
        """The waiting jobs, by engine."""
        ...

    def dead_letters(self) -> Sequence[DeadLetter]:
        """The jobs that were given up."""
        ...

    def retry(self, dead_letter_id: str) -> bool:
        """Put a dead letter back in its lane; False when there is none with that id."""
        ...

    def drop(self, dead_letter_id: str) -> bool:
        """Delete a dead letter; False when there is none with that id."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """A result that a processor has taken."""

    id: str
    result: Result


class ResultQueue(Protocol):
    """Results from the workers to the processors."""

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Publish results, all or none; False when there was no room for `wait_s`."""
        ...

    def take(self, limit: int, wait_s: float) -> list[Delivered]:
        """Take up to `limit` results, waiting up to `wait_s` for the first."""
        ...

    def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """Remove these results, because what they led to is stored. Safe to repeat."""
        ...


class PartitionedResults(ResultQueue, Protocol):
    """A result queue that is read partition by partition."""

    @property
    def partitions(self) -> int:
        """How many there are."""
        ...

    def partition(self, owned: Collection[int] | Mapping[int, int]) -> ResultQueue:
        """The results of these partitions only.

        A map gives the fencing token of each: then everything its last owner left comes first, and
        taking or acknowledging raises LeaseLostError once a token is outdated.
        """
        ...


class PictureShelf(Protocol):
    """Keeps the pictures of answered frames for a while, for snapshots."""

    def fetch(self, camera: str, run: str, seq: int) -> Pixels | None:
        """The pixels (H, W, 3) RGB of a frame, or None once they expired; raises QueueError."""
        ...


@dataclass(frozen=True, slots=True)
class Queues:
    """Both halves of one transport, and the pictures kept for events."""

    jobs: JobQueue
    results: ResultQueue
    shelf: PictureShelf
    clips: ClipExchange | None = field(default=None, kw_only=True)
    """None where no clips can be asked for."""
    live: LiveBoard | None = field(default=None, kw_only=True)
    """Where live pictures are shown to those who watch; None where nobody can."""
