"""The memory queue keeps the contract, hands pixels over untouched and is bounded in bytes."""

import threading

import numpy as np
from pydantic import TypeAdapter

from connectors.queues import QueueConfig
from connectors.queues.memory import MemoryConfig
from pipeline.core.clock import SystemClock
from pipeline.core.config import parse_duration
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job, result_of
from pipeline.core.queues import Claim, Queues
from pipeline.testing import ManualClock
from tests.contracts import queues as job_contracts
from tests.contracts import results as result_contracts
from tests.contracts.queue_tools import (
    ENGINE,
    SOON_S,
    TASKS,
    Limits,
    a_job,
    finish,
    named,
)

VISIBILITY_S = 30.0


class _Memory:
    """Builds a memory queue on a clock that the tests turn."""

    def build(self, limits: Limits) -> Queues:
        """A memory queue with these bounds."""
        self.clock = ManualClock()
        return MemoryConfig(
            live_room=limits.live_room,
            file_room=limits.file_room,
            results_room=limits.results_room,
            max_attempts=limits.max_attempts,
            visibility=parse_duration(f"{VISIBILITY_S}s"),
        ).build(self.clock)

    def expire(self) -> None:
        """Turn the clock past every lease."""
        self.clock.advance(VISIBILITY_S + 1)


class TestJobs(_Memory, job_contracts.JobContract):
    """Jobs in memory."""


class TestRoom(_Memory, job_contracts.RoomContract):
    """Room in memory."""


class TestFairness(_Memory, job_contracts.FairnessContract):
    """Fairness in memory."""


class TestLeases(_Memory, job_contracts.LeaseContract):
    """Leases in memory."""


class TestResults(_Memory, result_contracts.ResultContract):
    """Results in memory."""


def megapixel_job(camera: str, ordinal: int, *, live: bool, share: Job | None = None) -> Job:
    """A job of 300 000 bytes of pixels, or one that shares another job's frame."""
    pixels = np.zeros((200, 500, 3), np.uint8)
    frame = Frame(camera, "run-1", ordinal, 1.0 + ordinal, pixels, (500, 200))
    return Job(share.frame if share else frame, ENGINE, ordinal, TASKS, live)


def test_pixels_are_handed_over_without_a_copy() -> None:
    """The worker gets the very array that the sampler put."""
    jobs = MemoryConfig().build(ManualClock()).jobs
    put = a_job()
    jobs.put(put, 0)
    (claim,) = jobs.claim(ENGINE, 1, 0)
    assert claim.job is put


def test_files_wait_for_bytes_too() -> None:
    """A lane with room for more frames refuses them while the pixels held are at their bound."""
    jobs = MemoryConfig(megabytes=1, file_room=100).build(ManualClock()).jobs
    accepted = [jobs.put(megapixel_job("a", n, live=False), 0).accepted for n in range(5)]
    assert accepted == [True, True, True, False, False]
    # Another camera is let in with one frame, so that nobody waits for somebody else's frames.
    others = [jobs.put(megapixel_job("b", n, live=False), 0).accepted for n in range(2)]
    assert others == [True, False]


def test_a_live_camera_gives_way_in_bytes() -> None:
    """Over the bound of bytes a live camera drops its own oldest and keeps at least the newest."""
    jobs = MemoryConfig(megabytes=1, live_room=100).build(ManualClock()).jobs
    dropped = [jobs.put(megapixel_job("a", n, live=True), 0).dropped for n in range(5)]
    assert [len(one) for one in dropped] == [0, 0, 0, 1, 1]
    assert named(jobs.claim(ENGINE, 9, 0)) == [("a", 2), ("a", 3), ("a", 4)]


def test_a_shared_frame_weighs_once() -> None:
    """Jobs of several engines that share a frame's pixels count its bytes once."""
    queues = MemoryConfig(megabytes=1, file_room=100).build(ManualClock())
    jobs = queues.jobs
    first = megapixel_job("a", 0, live=False)
    for ordinal in range(10):
        assert jobs.put(megapixel_job("a", ordinal, live=False, share=first), 0).accepted
    finish(queues, jobs.claim(ENGINE, 10, 0))
    assert jobs.put(megapixel_job("a", 10, live=False), 0).accepted


def test_only_so_many_dead_letters_are_kept() -> None:
    """The oldest dead letter goes when there is no more room, and its pixels with it."""
    clock = ManualClock()
    jobs = MemoryConfig(max_attempts=1, dead_letters=2).build(clock).jobs
    for ordinal in range(3):
        jobs.put(a_job(ordinal=ordinal), 0)
        jobs.claim(ENGINE, 1, 0)
        clock.advance(3600)
    assert [letter.seq for letter in jobs.dead_letters()] == [2, 4]


def test_a_waiting_worker_wakes_when_a_lease_ends() -> None:
    """A claim that waits is given a dead worker's job without anybody putting a new one."""
    config = MemoryConfig(visibility=parse_duration("50ms"))
    jobs = config.build(SystemClock()).jobs
    jobs.put(a_job(), 0)
    jobs.claim(ENGINE, 1, 0)
    (again,) = jobs.claim(ENGINE, 1, SOON_S)
    assert again.attempts == 2


def test_a_dead_letter_is_answered_for_even_without_room() -> None:
    """The failed result of a dead letter is never lost to a full result queue."""
    clock = ManualClock()
    queues = MemoryConfig(max_attempts=1, results_room=1).build(clock)
    for ordinal in range(3):
        queues.jobs.put(a_job(ordinal=ordinal), 0)
    queues.jobs.claim(ENGINE, 3, 0)
    clock.advance(3600)
    queues.jobs.backlog()
    assert [one.result.ordinal for one in queues.results.take(9, 0)] == [0, 1, 2]


def test_a_batch_of_results_larger_than_the_room_goes_in_alone() -> None:
    """More results than the whole room are taken when nothing else waits, rather than never."""
    results = MemoryConfig(results_room=1).build(ManualClock()).results
    batch = [result_of(a_job(ordinal=n), {}) for n in range(3)]
    assert results.publish(batch, 0)
    assert not results.publish(batch[:1], 0)


def test_samplers_and_workers_at_once_lose_nothing() -> None:
    """Four file cameras against two workers: all jobs arrive, each camera's in order."""
    queues = MemoryConfig(file_room=2).build(SystemClock())
    jobs = queues.jobs
    cameras, each = [f"camera-{n}" for n in range(4)], 50
    seen: list[tuple[str, int]] = []
    done = threading.Event()

    def sample(camera: str) -> None:
        for ordinal in range(each):
            assert jobs.put(a_job(camera, ordinal), SOON_S).accepted

    def work() -> None:
        claims: list[Claim] = []
        while claims or not done.is_set():
            claims = jobs.claim(ENGINE, 3, 0.05)
            seen.extend(named(claims))
            finish(queues, claims)

    samplers = [threading.Thread(target=sample, args=(camera,)) for camera in cameras]
    worker = threading.Thread(target=work)
    for thread in [*samplers, worker]:
        thread.start()
    for thread in samplers:
        thread.join(SOON_S)
    done.set()
    worker.join(SOON_S)
    for camera in cameras:
        assert [n for name, n in seen if name == camera] == list(range(each))


def test_the_union_names_the_memory_queue() -> None:
    """What an operator writes as `type: memory` builds this queue."""
    built = TypeAdapter[QueueConfig](QueueConfig).validate_python({"type": "memory"})
    assert built == MemoryConfig()
