"""A picture that a judged event wants is there, or the event says why it is not."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.queues.memory.queue import MemoryJobs, MemoryResults, MemoryShelf
from connectors.queues.redis import RedisConfig
from connectors.stores import StoreConfig
from pipeline.core.address import Address
from pipeline.core.answers import Boxes
from pipeline.core.clock import SystemClock
from pipeline.core.errors import StoreError
from pipeline.core.events import Event
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job, result_of
from pipeline.core.queues import Queues
from pipeline.core.store import MediaStore
from pipeline.core.tasks import Detect
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import MISSING, Snapshots
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, grey_pixels, wait_until
from tests.contracts.event_tools import an_event
from tests.processing.test_processor import plan
from tests.redis_server import Redis, shared

START = 1_700_000_000.0
PEOPLE = Detect("people", "fast", "person")
CAMERAS = [f"clip-{n}" for n in range(17)]
FRAMES = 40
SIZE_WH = (64, 48)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A real Redis for these tests."""
    yield from shared()


def job(camera: str, ordinal: int, *, live: bool = False, engine: str = "fast") -> Job:
    """One frame's job."""
    pixels = grey_pixels(SIZE_WH, level=60 + ordinal % 100)
    frame = Frame(camera, "clip", ordinal, START + ordinal / 2, pixels, SIZE_WH)
    return Job(frame, engine, ordinal, (PEOPLE,), live)


def work(queues: Queues, keep: Sequence[str], wait_s: float = 0.0) -> int:
    """Answer all that waits, as a very fast engine does; how many were answered."""
    answered = 0
    while claims := queues.jobs.claim("fast", 8, 0):
        results = [result_of(one.job, {"people": Boxes("fast", (), ())}) for one in claims]
        if not queues.jobs.answer(claims, results, wait_s, keep):
            return answered
        answered += len(claims)
    return answered


def processor(queues: Queues, config: StoreConfig, cameras: Sequence[str]) -> tuple[Processor, Any]:
    """A processor whose rule has an event with a picture at every other frame."""
    store = config.build(SystemClock())
    plans = [replace(plan(), camera=camera) for camera in cameras]
    media = config.build_media()
    context = ProcessorContext(
        queues.results, store, Snapshots(queues.shelf, media), Metrics(), ManualClock(START)
    )
    return Processor(plans, context), store


def events_of(store: Any) -> list[Event]:
    """All events with a frame of their own."""
    kept = [one.event for one in store.events_after(0, 100_000)]
    return [event for event in kept if event.seq is not None]


def test_a_fast_engine_on_many_recordings_leaves_every_picture(tmp_path: Path) -> None:
    """Seventeen recordings are answered before a result is judged: no picture is missing."""
    config = StoreConfig(url=f"sqlite:///{tmp_path}/events.db")
    queues = MemoryConfig(file_room=FRAMES).build(SystemClock())
    for camera in CAMERAS:
        for n in range(FRAMES):
            assert queues.jobs.put(job(camera, n), 0).accepted
    assert work(queues, CAMERAS) == len(CAMERAS) * FRAMES
    judge, store = processor(queues, config, CAMERAS)
    while judge.step(0.0):
        pass
    events = events_of(store)
    assert len(events) == len(CAMERAS) * FRAMES // 2
    assert all(event.media and MISSING not in event.data for event in events)
    store.close()


def test_recordings_wait_for_room_for_their_pictures() -> None:
    """Where the room for pictures is used up, answers wait until results are judged."""
    clock, config = SystemClock(), MemoryConfig(file_room=FRAMES)
    one = job("clip-0", 0).frame.pixels.nbytes
    shelf = MemoryShelf(room_bytes=8 * one)
    results = MemoryResults(config.results_room, 300.0, clock, shelf)
    queues = Queues(MemoryJobs(config, clock, results, shelf), results, shelf)
    for n in range(FRAMES):
        assert queues.jobs.put(job("clip-0", n), 0).accepted
    claims = queues.jobs.claim("fast", FRAMES, 0)
    done: list[int] = []

    def answer() -> None:
        for claim in claims:
            result = result_of(claim.job, {"people": Boxes("fast", (), ())})
            while not queues.jobs.answer([claim], [result], 0.05, ["clip-0"]):
                pass
            done.append(claim.job.ordinal)

    working = threading.Thread(target=answer, daemon=True)
    working.start()
    wait_until(lambda: len(done) >= 7)
    found = 0
    while found < FRAMES:
        taken = queues.results.take(2, 5.0)
        # Those taken, those waiting, and the one that comes in while none waits.
        assert len(done) - found <= 8 + 2
        for delivered in taken:
            result = delivered.result
            assert queues.shelf.fetch(result.camera, result.run, result.seq) is not None
        found += len(taken)
        queues.results.acknowledge(taken)
    working.join(10.0)
    assert not working.is_alive()
    assert not shelf.is_full


def test_a_missing_frame_of_a_recording_does_not_lock_the_shelf() -> None:
    """All room is taken by frames that wait for an earlier one: that one still comes in."""
    clock, config = SystemClock(), MemoryConfig(file_room=FRAMES)
    shelf = MemoryShelf(room_bytes=2 * job("clip-0", 0).frame.pixels.nbytes)
    results = MemoryResults(config.results_room, 300.0, clock, shelf)
    queues = Queues(MemoryJobs(config, clock, results, shelf), results, shelf)
    for n in range(4):
        assert queues.jobs.put(job("clip-0", n), 0).accepted
    first, *later = queues.jobs.claim("fast", 4, 0)
    for claim in later:
        assert queues.jobs.answer([claim], [result_of(claim.job, {})], 0, ["clip-0"])
        assert queues.results.take(5, 0)  # taken, and waiting for the first
    assert shelf.is_full
    assert queues.jobs.answer([first], [result_of(first.job, {})], 0, ["clip-0"])


def test_two_engines_share_a_held_picture() -> None:
    """One engine's result is judged: the picture stays until the other's is, too."""
    shelf = MemoryShelf(frames_a_camera=1)
    shared_frame = job("clip-0", 0).frame
    for engine in ("fast", "slow"):
        shelf.hold(shared_frame, engine)
    shelf.let_go(result_of(job("clip-0", 0), {}))
    shelf.keep(job("clip-0", 1).frame)
    shelf.keep(job("clip-0", 2).frame)
    assert shelf.fetch("clip-0", "clip", 0) is not None
    shelf.let_go(result_of(job("clip-0", 0, engine="slow"), {}))
    shelf.keep(job("clip-0", 3).frame)
    assert shelf.fetch("clip-0", "clip", 0) is None


def test_a_live_camera_far_behind_says_which_pictures_are_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More answered live frames than are kept: the events of the others say that theirs is gone."""
    config = StoreConfig(url=f"sqlite:///{tmp_path}/events.db")
    queues = MemoryConfig(live_room=100).build(SystemClock())
    for n in range(FRAMES):
        queues.jobs.put(job("door", n, live=True), 0)
    assert work(queues, ["door"]) == FRAMES
    judge, store = processor(queues, config, ["door"])
    while judge.step(0.0):
        pass
    events = events_of(store)
    with_picture = [event for event in events if event.media]
    assert len(with_picture) == 8  # of the sixteen frames kept, every other one has an event
    assert all(bool(event.media) != (MISSING in event.data) for event in events)
    assert "no longer kept" in str(events[0].data[MISSING])
    assert caplog.text.count("an event of camera door has no picture") == 1
    store.close()


def test_pictures_that_redis_lost_are_said(server: Redis, tmp_path: Path) -> None:
    """Redis forgets pictures between answer and judgement: five events say that theirs is gone."""
    config = StoreConfig(url=f"sqlite:///{tmp_path}/events.db")
    queues = RedisConfig(url=Address(server.url), prefix="missing").build(SystemClock())
    for n in range(10):
        assert queues.jobs.put(job("door", n), 0).accepted
    assert work(queues, ["door"]) == 10
    lost = server.client.keys("{missing}:picture:*")
    server.client.delete(*lost[:5])
    (torn, *_) = server.client.keys("{missing}:picture:*")
    server.client.set(torn, b"\xff\xd8\xff\xe0 torn")
    judge, store = processor(queues, config, ["door"])
    while judge.step(0.0):
        pass
    events = events_of(store)
    assert len(events) == 5
    assert all(bool(event.media) != (MISSING in event.data) for event in events)
    missing = {str(event.data[MISSING]) for event in events if MISSING in event.data}
    assert missing <= {
        "the frame's picture was no longer kept when the event was judged",
        "the frame's picture was damaged",
    }
    store.close()
    queues.close()
    server.client.delete(*server.client.keys("{missing}:*"))


class FullFolder(MediaStore):
    """A media folder on a disk that is full."""

    def put(self, reference: str, content: bytes) -> None:
        """There is no room."""
        raise StoreError("no space left on device")


@pytest.mark.parametrize(
    ("shelf", "seq", "said"),
    [
        (MemoryShelf(), 3, "no longer kept"),
        (MemoryShelf(), None, "no frame led to this event"),
    ],
    ids=["gone", "no frame"],
)
def test_an_event_says_why_it_has_no_picture(
    shelf: MemoryShelf, seq: int | None, said: str, tmp_path: Path
) -> None:
    """The reason is in the event's data, and the event keeps its identity."""
    media = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build_media()
    event = replace(an_event(1), seq=seq, run="clip")
    told = Snapshots(shelf, media).attach(event)
    assert said in str(told.data[MISSING])
    assert (told.record_id, told.media) == (event.record_id, ())


def test_a_folder_that_takes_no_pictures_is_said_in_the_event() -> None:
    """The disk is full: the event is kept, and says that its picture was not stored."""
    shelf = MemoryShelf()
    frame = job("door", 1).frame
    shelf.keep(frame)
    event = replace(an_event(1), seq=frame.seq, run=frame.run)
    told = Snapshots(shelf, FullFolder()).attach(event)
    assert told.data[MISSING] == "the picture could not be stored"


def test_a_picture_that_no_jpeg_can_hold_is_said_in_the_event() -> None:
    """A picture wider than JPEG allows costs the event its picture, and nothing else."""
    shelf = MemoryShelf()
    pixels = grey_pixels((65_535, 1))
    shelf.keep(Frame("door", "clip", 1, START, pixels, (65_535, 1)))
    told = Snapshots(shelf, FullFolder()).attach(replace(an_event(1), seq=1, run="clip"))
    assert "no JPEG" in str(told.data[MISSING])
