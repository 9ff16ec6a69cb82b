"""The ports of the transport between stages: jobs, results, pictures that stay for events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.frames import Pixels
from pipeline.core.jobs import Job, Result


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


class PartitionedResults(ResultQueue, Protocol):
    """A result queue that can be taken from partition by partition."""

    @property
    def partitions(self) -> int:
        """How many there are."""
        ...

    def partition(self, owned: Collection[int] | Mapping[int, int]) -> ResultQueue:
        """The results of these partitions alone.

        A map gives the fencing token of each: then everything its last owner left comes first, and
        taking or acknowledging raises LeaseLostError once a token is not the present one.
        """
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
