"""A queue out of reach: live cameras count their losses and go on, files wait."""

import logging
import threading
from collections.abc import Sequence

import pytest

from pipeline.core.errors import QueueError
from pipeline.core.jobs import Job, Result
from pipeline.core.queues import JobQueue, Queues, Receipt, ResultQueue
from pipeline.sampling.camera import Camera
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.sampler import Sampler
from pipeline.testing import patience
from tests.sampling.fakes import (
    DOOR,
    PEOPLE,
    START,
    Bench,
    ScriptedSource,
    camera,
    every,
    offered,
    painted,
    sampled,
)

LATER = threading.Event()
"""A stop that is never asked for."""


class Unreliable:
    """Both halves of a queue, out of reach for the first so many calls."""

    def __init__(self, queues: Queues, failures: int) -> None:
        self._queues = queues
        self.failures = failures

    def put(self, job: Job, wait_s: float) -> Receipt:
        """Fail, or hand on."""
        self._fail()
        return self._queues.jobs.put(job, wait_s)

    def publish(self, results: Sequence[Result], wait_s: float) -> bool:
        """Fail, or hand on."""
        self._fail()
        return self._queues.results.publish(results, wait_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self._queues.jobs, name)

    def _fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise QueueError("redis at queue:6379 does not answer")


def unreliable(failures: int) -> Bench:
    """A bench whose queue is out of reach at first."""
    bench = Bench()
    front = Unreliable(bench.queues, failures)
    jobs: JobQueue = front  # type: ignore[assignment]
    results: ResultQueue = front  # type: ignore[assignment]
    bench.front = Queues(jobs=jobs, results=results, shelf=bench.queues.shelf)
    return bench


def test_a_live_camera_counts_what_it_cannot_queue(caplog: pytest.LogCaptureFixture) -> None:
    """Its frames are dropped and counted, and numbers stay gapless; the queue itself says it."""
    bench = unreliable(3)
    with caplog.at_level(logging.DEBUG):
        offered(bench, camera(ScriptedSource(live=True)), every(0.5, 6))
    assert bench.dropped("queue away") == 3
    jobs = bench.jobs()
    assert [(job.ordinal, job.frame.seq) for job in jobs] == [(0, 0), (1, 1), (2, 2)]
    said = [record.getMessage() for record in caplog.records if "queue" in record.getMessage()]
    assert said == [
        "camera door cannot reach the queue: redis at queue:6379 does not answer",
        "camera door can reach the queue again",
    ]


def test_a_question_asked_every_hour_is_asked_once_the_queue_is_back() -> None:
    """The source owes another frame until one is taken, and the next hour counts from that."""
    bench = unreliable(2)
    source = ScriptedSource(live=True)
    door = Camera("door", source, SampleConfig(), ((DOOR, 3600.0),))
    health = CameraHealth("door", bench.said.append, bench.metrics)
    sampler = Sampler(door, bench.outside, health, threading.Event())
    sampler.begin("run-1")
    owed = []
    for at in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3000.0, 3602.0, 3603.0):
        bench.outside.clock.wait(START + at - bench.outside.clock.now())
        sampler.offer(painted(at))
        owed.append(sampler.need.is_owed())
    assert bench.times("slow") == [2.0, 3602.0]
    assert owed == [True, True, True, True, False, False, False, False, False]
    assert bench.dropped("queue away") == 2


def test_a_seldom_task_that_was_refused_is_asked_with_the_next_frame() -> None:
    """Beside a task of every frame, which is asked as ever."""
    bench = unreliable(2)
    source = ScriptedSource(live=True)
    tasks = ((PEOPLE, None), (DOOR, 3600.0))
    config = SampleConfig.model_validate({"every": "500ms", "stale_after": "2h"})
    health = CameraHealth("door", bench.said.append, bench.metrics)
    sampler = Sampler(Camera("door", source, config, tasks), bench.outside, health, LATER)
    sampler.begin("run-1")
    for picture in every(0.5, 4):
        sampler.offer(picture)
    assert (bench.times("fast"), bench.times("slow")) == ([0.5, 1.0, 1.5], [0.5])


def test_a_picture_that_was_not_taken_is_nothing_to_compare_with() -> None:
    """One that looks the same is sent once the queue is back."""
    bench = unreliable(1)
    alike = [painted(at) for at in (0.0, 0.5, 1.0)]
    offered(bench, camera(ScriptedSource(live=True), duplicates="drop"), alike)
    assert bench.times() == [0.5]
    assert bench.dropped("duplicate") == 1


def test_a_file_waits_for_the_queue() -> None:
    """Nothing of a file is lost while the queue is out of reach, its end included."""
    bench = unreliable(3)
    sampled(bench, camera(ScriptedSource(every(0.5, 6))))
    assert [job.ordinal for job in bench.jobs()] == list(range(6))
    assert [result.last for result in bench.results()] == [True]
    assert bench.dropped("queue full") == 0


def test_a_file_waits_for_the_end_s_delivery() -> None:
    """The end marker, too, is tried until it is through."""
    bench = unreliable(0)
    front = bench.outside.queues.results
    assert isinstance(front, Unreliable)
    source = ScriptedSource([*every(0.5, 2), lambda: setattr(front, "failures", 2)])
    sampled(bench, camera(source))
    assert [result.last for result in bench.results()] == [True]


def test_told_to_stop_a_file_gives_up_waiting() -> None:
    """A file that waits for room ends when it is told to stop, without an end marker."""
    bench = Bench()
    bench.config = bench.config.model_copy(update={"file_room": 1})
    bench.__post_init__()
    stop = threading.Event()
    from_file = threading.Thread(
        target=lambda: sampled(bench, camera(ScriptedSource(every(0.5, 5))), stop)
    )
    from_file.start()
    stop.set()
    from_file.join(patience(10))
    assert not from_file.is_alive()
    assert bench.results() == []
