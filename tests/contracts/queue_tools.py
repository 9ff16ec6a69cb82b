"""What the contract suites of the queues share: bounds, jobs, and the queue under test."""

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from pipeline.core.frames import Frame
from pipeline.core.jobs import VISITOR, Job, result_of
from pipeline.core.queues import Claim, Queues
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.processing.questions import question_job
from pipeline.testing import grey_pixels, patience

ENGINE = "fast"
SOON_S = patience(10)
"""Longer than any queue takes to hand over what is there; returns as soon as it is."""
NOT_LONG_S = 0.05
"""How long to wait for what must not come."""
SIZE_WH = (64, 48)
TASKS: tuple[Task, ...] = (
    Detect("people", ENGINE, "person", max_objects=7),
    Point("hats", ENGINE, "red hat"),
    Count("cars", ENGINE, "car"),
    Ask("door", ENGINE, "Is the door open?", answers="yes/no"),
    Ask("light", ENGINE, "Which light is on?", answers="one of", choices=("red", "grün")),
    Caption("words", ENGINE, length="short", max_tokens=12),
)


@dataclass(frozen=True)
class Limits:
    """The bounds a contract test wants of its queue."""

    live_room: int = 3
    file_room: int = 3
    results_room: int = 4
    max_attempts: int = 3


def a_job(
    camera: str = "door", ordinal: int = 0, *, live: bool = False, engine: str = ENGINE
) -> Job:
    """A job of a small grey frame, two seconds after the one before it."""
    frame = Frame(
        camera=camera,
        run="run-1",
        seq=2 * ordinal,
        captured_at=1_700_000_000.125 + 2 * ordinal,
        pixels=grey_pixels(SIZE_WH, level=60 + ordinal % 100),
        size_wh=(1920, 1080),
    )
    return Job(frame, engine, ordinal, TASKS, live)


def a_question(camera: str, key: str) -> Job:
    """What a visitor asks about a camera's picture: it goes ahead of frames."""
    return question_job(VISITOR + key, camera, 1_700_000_000.0, TASKS[0], grey_pixels(SIZE_WH))


def answer(queues: Queues, claims: Sequence[Claim]) -> None:
    """Do as a worker does with what it claimed; there is room for the results."""
    assert queues.jobs.answer(claims, [result_of(claim.job, {}) for claim in claims], 0)


def finish(queues: Queues, claims: Sequence[Claim]) -> None:
    """Answer claims, and forget all results as a processor does that has judged them."""
    for claim in claims:
        answer(queues, [claim])
        queues.results.acknowledge(queues.results.take(1000, 0))


def named(claims: list[Claim]) -> list[tuple[str, int]]:
    """Camera and ordinal of claims, in their order."""
    return [(claim.job.frame.camera, claim.job.ordinal) for claim in claims]


class BuiltQueues(abc.ABC):
    """A queue to test, built for each test."""

    limits: ClassVar[Limits] = Limits()

    @abc.abstractmethod
    def build(self, limits: Limits) -> Queues:
        """A fresh, empty queue with these bounds."""

    @abc.abstractmethod
    def expire(self) -> None:
        """Let every lease given out so far run out."""

    def dispose(self, queues: Queues) -> None:  # noqa: B027 - most have nothing to clean up
        """Clean up after a test, where there is something outside this process."""

    @pytest.fixture
    def queues(self) -> Iterator[Queues]:
        """The queue under test."""
        queues = self.build(self.limits)
        yield queues
        self.dispose(queues)
