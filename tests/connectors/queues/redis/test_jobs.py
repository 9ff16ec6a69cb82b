"""Jobs in Redis: pictures travel once, live lanes are bounded, nothing is taken twice or lost."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from connectors.queues.redis.queue import RedisQueues
from pipeline.core.answers import Failed
from pipeline.core.errors import UnreadablePictureError
from pipeline.core.frames import Frame, Pixels
from pipeline.core.jobs import Job, result_of
from tests.connectors.queues.redis import tools
from tests.connectors.queues.redis.tools import built, expire
from tests.contracts.queue_tools import (
    ENGINE,
    NOT_LONG_S,
    SOON_S,
    TASKS,
    a_job,
    answer,
    named,
)
from tests.redis_server import Redis

pytestmark = pytest.mark.redis
program = tools._program
server = tools._server
prefix = tools._prefix


@pytest.fixture(name="queues")
def _queues(server: Redis, prefix: str) -> Iterator[RedisQueues]:
    queues = built(server.url, prefix, live_room=3, file_room=50, max_attempts=3)
    yield queues
    queues.close()


def photo(size_wh: tuple[int, int] = (64, 48)) -> Pixels:
    """A colourful picture in which left differs from right and red from blue."""
    width, height = size_wh
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 220
    return pixels


def job_of(frame: Frame, engine: str = ENGINE, ordinal: int = 0, *, live: bool = False) -> Job:
    """A job of a frame."""
    return Job(frame, engine, ordinal, TASKS, live)


def a_frame(seq: int = 0, pixels: Pixels | None = None) -> Frame:
    """A frame of the camera `door`."""
    shown = photo() if pixels is None else pixels
    return Frame("door", "run-1", seq, 1_700_000_000.5 + seq, shown, (1920, 1080))


def pictures(server: Redis, prefix: str) -> list[str]:
    """Names of the pictures that Redis holds."""
    return [key for key in server.names() if key.startswith(f"{{{prefix}}}:picture:")]


def test_colours_and_places_arrive(queues: RedisQueues) -> None:
    """A picture is RGB on both sides, and as it was up to what JPEG loses."""
    queues.jobs.put(job_of(a_frame()), 0)
    (claim,) = queues.jobs.claim(ENGINE, 1, SOON_S)
    got = claim.job.frame.pixels
    assert got.dtype == np.uint8
    assert got.shape == (48, 64, 3)
    assert got[24, 8].tolist() == pytest.approx([200, 0, 0], abs=12)
    assert got[24, 56].tolist() == pytest.approx([0, 0, 220], abs=12)


def test_lossless_pictures_arrive_to_the_last_bit(server: Redis, prefix: str) -> None:
    """With `lossless` noise comes out as it went in."""
    noise = np.random.default_rng(1).integers(0, 256, (31, 17, 3)).astype(np.uint8)
    queues = built(server.url, prefix, lossless=True)
    queues.jobs.put(job_of(a_frame(pixels=noise)), 0)
    (claim,) = queues.jobs.claim(ENGINE, 1, SOON_S)
    assert np.array_equal(claim.job.frame.pixels, noise)
    queues.close()


def test_large_pictures_are_scaled_down(server: Redis, prefix: str) -> None:
    """With `max_side` no picture is larger on its way, and its original size is still told."""
    queues = built(server.url, prefix, max_side=32)
    queues.jobs.put(job_of(a_frame(pixels=photo((128, 64)))), 0)
    (claim,) = queues.jobs.claim(ENGINE, 1, SOON_S)
    assert claim.job.frame.pixels.shape == (16, 32, 3)
    assert claim.job.frame.size_wh == (1920, 1080)
    queues.close()


def test_engines_share_one_picture(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """A frame's jobs refer to one copy, which goes with the last of them."""
    frame = a_frame()
    for engine in ("fast", "slow", "other"):
        queues.jobs.put(job_of(frame, engine), 0)
    (name,) = pictures(server, prefix)
    assert server.client.hvals(f"{{{prefix}}}:refs:door:run-1") == [b"3"]
    for engine in ("fast", "slow"):
        answer(queues, queues.jobs.claim(engine, 1, SOON_S))
    assert pictures(server, prefix) == [name]
    answer(queues, queues.jobs.claim("other", 1, SOON_S))
    assert pictures(server, prefix) == []


def test_a_picture_that_went_is_sent_again(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """The second engine's job brings the picture if the first one was answered meanwhile."""
    frame = a_frame()
    queues.jobs.put(job_of(frame, "fast"), 0)
    answer(queues, queues.jobs.claim("fast", 1, SOON_S))
    assert pictures(server, prefix) == []
    queues.jobs.put(job_of(frame, "slow"), 0)
    assert len(queues.jobs.claim("slow", 1, SOON_S)) == 1


def test_a_dropped_job_s_picture_goes_too(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """A flood of live frames leaves as many pictures as frames wait."""
    for ordinal in range(10):
        queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
    assert len(pictures(server, prefix)) == 3


def test_a_job_put_twice_is_taken_once(queues: RedisQueues) -> None:
    """A sampler that starts again repeats what is on its way: accepted, and nothing happens."""
    for _ in range(2):
        for ordinal in range(3):
            assert queues.jobs.put(a_job(ordinal=ordinal), 0).accepted
    claims = queues.jobs.claim(ENGINE, 9, SOON_S)
    assert [ordinal for _, ordinal in named(claims)] == [0, 1, 2]
    assert queues.jobs.put(a_job(ordinal=1), 0).accepted  # in a worker's hands
    answer(queues, claims)
    assert queues.jobs.put(a_job(ordinal=1), 0).accepted  # its result waits
    assert queues.jobs.claim(ENGINE, 9, NOT_LONG_S) == []


def test_a_job_put_twice_keeps_its_picture(server: Redis, prefix: str) -> None:
    """A sampler that starts again changes nothing about how long it stays."""
    frame = a_frame()
    for _start in range(2):
        sampler = built(server.url, prefix)
        sampler.jobs.put(job_of(frame), 0)
        assert [server.client.pttl(name) for name in pictures(server, prefix)] == [-1]
        sampler.close()


def test_a_picture_that_was_lost_is_put_back(server: Redis, prefix: str) -> None:
    """A file that is played again brings it along for the job that waits, and it stays."""
    frame = a_frame()
    for _start in range(2):
        sampler = built(server.url, prefix)
        sampler.jobs.put(job_of(frame), 0)
        assert [server.client.pttl(name) for name in pictures(server, prefix)] == [-1]
        server.client.delete(*pictures(server, prefix))
        sampler.jobs.put(job_of(a_frame()), 0)
        assert [server.client.pttl(name) for name in pictures(server, prefix)] == [-1]
        sampler.close()


def test_a_file_may_be_played_again(queues: RedisQueues) -> None:
    """Once the processor is done with a job's result, the same number is a new job."""
    queues.jobs.put(a_job(ordinal=1), 0)
    answer(queues, queues.jobs.claim(ENGINE, 9, SOON_S))
    queues.results.acknowledge(queues.results.take(9, SOON_S))
    queues.jobs.put(a_job(ordinal=1), 0)
    assert len(queues.jobs.claim(ENGINE, 9, SOON_S)) == 1


def test_what_is_dropped_is_answered_and_counted(queues: RedisQueues) -> None:
    """The failed result of a trimmed job is published in the same step, and the loss is counted."""
    receipts = [queues.jobs.put(a_job(ordinal=n, live=True), 0) for n in range(5)]
    assert [one.answered for one in receipts] == [True] * 5
    results = [one.result for one in queues.results.take(9, SOON_S)]
    assert [result.ordinal for result in results] == [0, 1]
    for result in results:
        assert set(result.answers) == {task.id for task in TASKS}
        assert result.answers["people"] == Failed(ENGINE, "queue full")
    assert queues.jobs.drops() == {("door", ENGINE, "queue full"): 2}


def test_what_is_dropped_is_not_answered_without_room(server: Redis, prefix: str) -> None:
    """With no processor for long, failed results of live jobs do not pile up."""
    queues = built(server.url, prefix, live_room=1, results_room=2)
    for ordinal in range(9):
        queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
    assert len(queues.results.take(99, SOON_S)) == 2
    assert queues.jobs.drops() == {("door", ENGINE, "queue full"): 8}
    queues.close()


def test_old_live_frames_are_let_go(server: Redis, prefix: str) -> None:
    """What waited for longer than `live_age` is dropped by the next put, the newest never by it."""
    queues = built(server.url, prefix, live_room=9, live_age="1ms")
    for ordinal in range(2):
        queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
        _wait_for_redis_clock(server)
    dropped = queues.jobs.put(a_job(ordinal=2, live=True), 0).dropped
    assert [job.ordinal for job in dropped][-1:] == [1]
    assert queues.jobs.drops()["door", ENGINE, "stale"] == 2
    _wait_for_redis_clock(server)
    assert queues.jobs.claim(ENGINE, 9, 0) == []
    assert queues.jobs.drops()["door", ENGINE, "stale"] == 3
    queues.close()


def _wait_for_redis_clock(server: Redis) -> None:
    """Return once Redis' clock is three milliseconds on."""
    began = server.client.time()
    while True:
        now = server.client.time()
        if (now[0] - began[0]) * 1000 + (now[1] - began[1]) / 1000 > 3:
            return


def test_file_jobs_have_no_age(server: Redis, prefix: str) -> None:
    """A file's jobs wait for a worker for as long as it takes."""
    queues = built(server.url, prefix, live_age="1ms")
    queues.jobs.put(a_job(), 0)
    _wait_for_redis_clock(server)
    (lane,) = [key for key in server.names() if f"{{{prefix}}}:lane" in key]
    assert server.client.pttl(lane) == -1
    assert [server.client.pttl(name) for name in pictures(server, prefix)] == [-1]
    assert len(queues.jobs.claim(ENGINE, 1, SOON_S)) == 1
    queues.close()


def test_one_worker_s_flood_is_shared_out(queues: RedisQueues) -> None:
    """Each camera gets a turn in each batch, however much others have waiting and of which kind."""
    for ordinal in range(40):
        queues.jobs.put(a_job("file", ordinal), 0)
    for camera in ("a", "b"):
        for ordinal in range(3):
            queues.jobs.put(a_job(camera, ordinal, live=True), 0)
    batch = named(queues.jobs.claim(ENGINE, 6, SOON_S))
    assert sorted(batch) == [(camera, n) for camera in ("a", "b", "file") for n in (0, 1)]


def test_a_waiting_worker_wakes_when_a_lease_ends(server: Redis, prefix: str) -> None:
    """A claim that waits is given a dead worker's job without anybody putting a new one."""
    queues = built(server.url, prefix, visibility="100ms")
    queues.jobs.put(a_job(), 0)
    queues.jobs.claim(ENGINE, 1, SOON_S)
    (again,) = queues.jobs.claim(ENGINE, 1, SOON_S)
    assert again.attempts == 2
    queues.close()


def test_a_sampler_waits_in_another_process_s_stead(server: Redis, prefix: str) -> None:
    """Room made through one connection wakes a sampler that waits on another."""
    sampling, working = (built(server.url, prefix, file_room=1) for _ in range(2))
    sampling.jobs.put(a_job(), 0)
    accepted: list[bool] = []
    sampler = threading.Thread(
        target=lambda: accepted.append(sampling.jobs.put(a_job(ordinal=1), SOON_S).accepted)
    )
    sampler.start()
    assert len(working.jobs.claim(ENGINE, 1, SOON_S)) == 1
    sampler.join(SOON_S)
    assert accepted == [True]
    sampling.close()
    working.close()


def _corrupt(server: Redis, prefix: str, kind: str, **fields: Any) -> None:
    """Replace fields of the only entry of a stream, or the picture, of this kind."""
    (name,) = [key for key in server.names() if key.startswith(f"{{{prefix}}}:{kind}:")]
    if kind == "picture":
        server.client.set(name, fields["d"], keepttl=True)
        return
    ((entry, old),) = server.client.xrange(name)
    server.client.xdel(name, entry)
    server.client.xadd(name, {k.decode(): v for k, v in old.items()} | fields)


@pytest.mark.parametrize(
    ("kind", "fields", "reason", "answered"),
    [
        ("lane", {"j": b"\xff nonsense"}, "version 255", []),
        ("picture", {"d": b"no jpeg"}, "picture is damaged", [task.id for task in TASKS]),
        ("picture", {"d": b""}, "picture is damaged", [task.id for task in TASKS]),
    ],
)
def test_what_no_worker_can_read_is_given_up_at_once(
    queues: RedisQueues,
    server: Redis,
    prefix: str,
    kind: str,
    fields: dict[str, bytes],
    reason: str,
    answered: list[str],
) -> None:
    """A poisoned job is a dead letter after one look, and those after it need not wait for it."""
    job = a_job()
    queues.jobs.put(job, 0)
    _corrupt(server, prefix, kind, **fields)
    assert queues.jobs.claim(ENGINE, 9, NOT_LONG_S) == []
    (letter,) = queues.jobs.dead_letters()
    assert (letter.camera, letter.engine, letter.seq, letter.attempts) == ("door", ENGINE, 0, 1)
    assert reason in letter.reason
    (delivered,) = queues.results.take(9, SOON_S)
    assert sorted(delivered.result.answers) == sorted(answered)
    # What a job asked is in the part that cannot be read.
    got = replace(delivered.result, answers={}, asked={})
    assert got == replace(result_of(job, {}), asked={})
    expire(server, prefix)
    assert queues.jobs.claim(ENGINE, 9, 0) == []
    queues.jobs.put(a_job("other"), 0)
    assert named(queues.jobs.claim(ENGINE, 9, SOON_S)) == [("other", 0)]


def test_a_lost_picture_is_a_failed_answer(queues: RedisQueues, server: Redis, prefix: str) -> None:
    """A job whose picture was evicted is given up with that reason, and answered for."""
    queues.jobs.put(a_job(ordinal=3), 0)
    server.client.delete(*pictures(server, prefix))
    assert queues.jobs.claim(ENGINE, 9, NOT_LONG_S) == []
    (delivered,) = queues.results.take(9, SOON_S)
    assert delivered.result.ordinal == 3
    assert delivered.result.answers["people"] == Failed(ENGINE, "its picture is gone")


def test_only_so_many_dead_letters_are_kept(server: Redis, prefix: str) -> None:
    """The oldest dead letter goes when there is no more room, and its picture with it."""
    queues = built(server.url, prefix, max_attempts=1, dead_letters=2)
    for ordinal in range(4):
        queues.jobs.put(a_job(ordinal=ordinal), 0)
    queues.jobs.claim(ENGINE, 9, SOON_S)
    expire(server, prefix)
    queues.jobs.claim(ENGINE, 9, 0)
    letters = queues.jobs.dead_letters()
    assert [letter.seq for letter in letters] == [4, 6]
    assert len(pictures(server, prefix)) == 2
    for letter in letters:
        assert queues.jobs.drop(letter.id)
    assert pictures(server, prefix) == []
    queues.close()


def test_a_dead_letter_that_is_put_back_is_answered(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """Its picture and number are still there, and go when it is answered at last."""
    queues.jobs.put(a_job(ordinal=5, live=True), 0)
    for _ in range(3):
        queues.jobs.claim(ENGINE, 1, SOON_S)
        expire(server, prefix)
    assert queues.jobs.claim(ENGINE, 1, 0) == []
    (letter,) = queues.jobs.dead_letters()
    assert queues.jobs.retry(letter.id)
    answer(queues, queues.jobs.claim(ENGINE, 1, SOON_S))
    queues.results.acknowledge(queues.results.take(9, SOON_S))
    assert pictures(server, prefix) == []
    assert not any(":flight:" in key for key in server.names() if prefix in key)


@pytest.mark.parametrize("letter", ["", "1", "1-", "x-y", "1-0 ", "9-9"])
def test_unknown_dead_letters_are_said_to_be_unknown(queues: RedisQueues, letter: str) -> None:
    """Whatever an operator types."""
    assert not queues.jobs.retry(letter)
    assert not queues.jobs.drop(letter)


def test_odd_names_stay_apart(queues: RedisQueues) -> None:
    """Cameras, runs and engines whose names hold colons, bars, percents or letters of any kind."""
    names = ["a:b", "a", "b:live:c", "ü ☂", "50%", "a|b", "live"]
    for name in names:
        queues.jobs.put(a_job(name, engine=f"{name}:x"), 0)
    for name in names:
        claims = queues.jobs.claim(f"{name}:x", 9, SOON_S)
        assert named(claims) == [(name, 0)]
        answer(queues, claims)
    assert queues.jobs.backlog()["a:b:x"].length == 0
    assert queues.jobs.claim("a:x", 1, 0) == []


def test_pictures_for_events_outlive_their_jobs(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """What a worker kept can be fetched elsewhere after it was answered, and goes by itself."""
    frame = a_frame()
    queues.jobs.put(job_of(frame), 0)
    claims = queues.jobs.claim(ENGINE, 1, SOON_S)
    results = [result_of(claim.job, {}) for claim in claims]
    assert queues.jobs.answer(claims, results, 0, keep={"door"})
    elsewhere = built(server.url, prefix)
    pixels = elsewhere.shelf.fetch("door", "run-1", 0)
    assert pixels is not None
    assert abs(pixels.astype(int) - frame.pixels.astype(int)).mean() < 8
    assert [0 < server.client.pttl(name) <= 120_000 for name in pictures(server, prefix)] == [True]
    assert elsewhere.shelf.fetch("door", "run-1", 1) is None
    elsewhere.close()


def test_a_damaged_picture_on_the_shelf_is_said(
    queues: RedisQueues, server: Redis, prefix: str
) -> None:
    """Fetching it is an error with a sentence."""
    queues.jobs.put(job_of(a_frame()), 0)
    _corrupt(server, prefix, "picture", d=b"no jpeg")
    with pytest.raises(UnreadablePictureError, match="picture is damaged"):
        queues.shelf.fetch("door", "run-1", 0)
