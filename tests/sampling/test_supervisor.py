"""Cameras that fail, fall silent and come back; files that end; stops that are quick."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.clock import SystemClock
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.measures import Health
from pipeline.core.retrying import Rests
from pipeline.sampling.camera import Camera, SamplerContext, rests_of
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, patience, wait_until
from tests.sampling.fakes import (
    START,
    Bench,
    Reconnect,
    ScriptedSource,
    Step,
    camera,
    every,
    painted,
)

REFUSED = SourceError(SourceFailure.REFUSED, "rtsp://10.0.0.7/stream2 refuses the connection")
ENDED = SourceError(SourceFailure.ENDED, "rtsp://10.0.0.7/stream2 ended")


class WaitingClock(ManualClock):
    """A clock that remembers how long it was waited on."""

    def __init__(self, most_waits: int = 10_000) -> None:
        super().__init__(START)
        self.waits: list[float] = []
        self._most = most_waits

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Note it, and pass the time at once; after the last one, wait to be stopped."""
        self.waits.append(seconds)
        if stop is not None and len(self.waits) >= self._most:
            return stop.wait(patience(60))
        return super().wait(seconds, stop)


@contextmanager
def running(bench: Bench, cameras: Sequence[Camera]) -> Iterator[Supervisor]:
    """A supervisor at work, stopped in the end; no thread of it is left."""
    before = set(threading.enumerate())
    supervisor = Supervisor([CameraLoop(one, bench.outside) for one in cameras])
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert left == []


def failures(bench: Bench, reason: SourceFailure) -> float:
    """How often a camera failed for a reason."""
    return bench.metrics.value(
        "moonwatch_camera_failures_total", camera="door", reason=reason.value
    )


def is_up(bench: Bench) -> bool:
    """What the metric says of the camera."""
    return bench.metrics.value("moonwatch_camera_up", camera="door") == 1


def test_files_are_played_to_their_end() -> None:
    """All file cameras end by themselves, with all their frames queued and an end marker each."""
    bench = Bench()
    cameras = [camera(ScriptedSource(every(0.5, 8)), name) for name in ("a", "b", "c")]
    with running(bench, cameras) as supervisor:
        wait_until(lambda: supervisor.is_done)
        assert supervisor.failures == {}
    jobs = bench.jobs()
    for name in ("a", "b", "c"):
        assert [job.ordinal for job in jobs if job.frame.camera == name] == list(range(8))
    assert sorted(end.camera for end in bench.results() if end.last) == ["a", "b", "c"]
    assert bench.metrics.value("moonwatch_camera_up", camera="a") == 0


def test_a_file_that_cannot_be_opened_is_a_failure() -> None:
    """It is tried once, reported with its reason, and ends the others not."""
    missing = SourceError(SourceFailure.NOT_FOUND, "clip.mp4 does not exist; check `path`")
    broken = ScriptedSource([missing])
    bench = Bench()
    cameras = [camera(broken), camera(ScriptedSource(every(0.5, 3)), "other")]
    with running(bench, cameras) as supervisor:
        wait_until(lambda: supervisor.is_done)
        assert supervisor.failures == {"door": "clip.mp4 does not exist; check `path`"}
    assert broken.opened == 1
    assert [end.camera for end in bench.results()] == ["other"]
    assert failures(bench, SourceFailure.NOT_FOUND) == 1
    said = Health("door", START, "offline", f"not found: {missing}")
    assert said in bench.said


def test_a_file_that_breaks_in_the_middle_ends_as_a_failure() -> None:
    """What was read is sampled and its run ends, so that nobody waits; the failure is reported."""
    broken = SourceError(SourceFailure.BROKEN, "clip.mp4 is broken after 1 s")
    bench = Bench()
    with running(bench, [camera(ScriptedSource([*every(0.5, 3), broken]))]) as supervisor:
        wait_until(lambda: supervisor.is_done)
        assert list(supervisor.failures) == ["door"]
    assert [job.ordinal for job in bench.jobs()] == [0, 1, 2]
    assert [(end.ordinal, end.last) for end in bench.results()] == [(3, True)]
    assert bench.said[-1] == Health("door", START + 1, "offline", f"broken stream: {broken}")


def test_a_live_camera_comes_back() -> None:
    """Frames go on after a loss; the gap, the reason and the state changes are on record."""
    source = ScriptedSource(
        [*every(0.5, 3), ENDED], [REFUSED], [REFUSED], every(0.5, 3, first=31.0), live=True
    )
    bench = Bench(config=MemoryConfig(live_room=100))
    with running(bench, [camera(source, stale_after="1h")]):
        wait_until(lambda: bench.queues.jobs.backlog().get("fast", None) is not None)
        wait_until(lambda: bench.queues.jobs.backlog()["fast"].length == 6)
        assert is_up(bench)
    jobs = bench.jobs()
    assert [job.frame.run for job in jobs] == ["live-1"] * 3 + ["live-4"] * 3
    assert [job.ordinal for job in jobs] == [0, 1, 2, 0, 1, 2]
    assert [(health.state, health.detail) for health in bench.comings()] == [
        ("online", ""),
        ("offline", f"stream ended: {ENDED}"),
        ("offline", f"refused: {REFUSED}"),
        ("online", ""),
    ]
    assert failures(bench, SourceFailure.ENDED) == 1
    assert failures(bench, SourceFailure.REFUSED) == 2
    assert bench.metrics.value("moonwatch_camera_gap_seconds_total", camera="door") == 30


def test_a_camera_that_was_never_there_is_offline() -> None:
    """The first failure is said, and repeated ones are only counted."""
    bench = Bench(clock=WaitingClock(most_waits=6))
    with running(bench, [camera(ScriptedSource([REFUSED], live=True))]):
        wait_until(lambda: failures(bench, SourceFailure.REFUSED) == 6)
        assert not is_up(bench)
    assert [(health.state, health.detail) for health in bench.said] == [
        ("offline", f"refused: {REFUSED}")
    ]


def test_waits_double_up_to_a_limit() -> None:
    """A camera that is away is tried less and less often, with jitter, and for ever."""
    clock = WaitingClock(most_waits=12)
    bench = Bench(clock=clock)
    with running(bench, [camera(ScriptedSource([REFUSED], live=True))]):
        wait_until(lambda: len(clock.waits) == 12)
    full = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]
    assert all(f / 2 <= wait <= f for f, wait in zip(full, clock.waits, strict=True))
    assert len(set(clock.waits)) > 2


def test_waits_start_anew_after_a_good_time() -> None:
    """A camera that was well for a while is tried again soon; one that flaps is not."""
    clock = WaitingClock(most_waits=4)
    well: list[Step] = [painted(0), lambda: clock.advance(60), ENDED]
    source = ScriptedSource([REFUSED], [REFUSED], well, [painted(1), ENDED], live=True)
    bench = Bench(clock=clock)
    with running(bench, [camera(source, stale_after="1h", offline_after="1h")]):
        wait_until(lambda: len(clock.waits) == 4)
    full = [1, 2, 1, 2]
    assert all(f / 2 <= wait <= f for f, wait in zip(full, clock.waits, strict=True))


def test_a_source_says_how_soon() -> None:
    """A source with settings of its own is waited for as they say."""
    source = ScriptedSource(live=True)
    assert rests_of(source) == Rests(1.0, 30.0, jitter=0.5)
    source.reconnect = Reconnect(timedelta(seconds=3), timedelta(minutes=5))  # type: ignore[attr-defined]
    assert rests_of(source) == Rests(3.0, 300.0, jitter=0.5)


def test_a_silent_camera_is_offline_while_its_source_still_waits() -> None:
    """No picture for too long is noticed from outside, and so is the next picture."""
    clock = ManualClock(START)
    resume = threading.Event()
    script: list[Step] = [painted(0), lambda: resume.wait(patience(30)), painted(40)]
    source = ScriptedSource(script, live=True)
    bench = Bench(clock=clock)
    with running(bench, [camera(source, offline_after="15s", stale_after="1h")]):
        wait_until(lambda: bench.states() == ["online"])
        clock.advance(40)
        wait_until(lambda: bench.states() == ["online", "offline"])
        assert not is_up(bench)
        resume.set()
        wait_until(lambda: bench.states() == ["online", "offline", "online"])
    assert bench.comings()[1] == Health(
        "door",
        START + 40,
        "offline",
        "timeout: no picture for 40 s; check its power, network and address",
    )
    assert failures(bench, SourceFailure.TIMEOUT) == 1
    assert source.opened == 1


class _PuzzledSource(ScriptedSource):
    """Data arrive, and what they lack is known only after a while."""

    waiting_for: str | None = None


def test_what_a_silent_camera_lacks_is_said_as_soon_as_it_is_known() -> None:
    """It was offline before that, for no reason anybody knew."""
    clock = ManualClock(START)
    source = _PuzzledSource([], live=True)
    bench = Bench(clock=clock)
    with running(bench, [camera(source, offline_after="3s")]):
        clock.advance(40)
        wait_until(lambda: bench.states() == ["offline"])
        source.waiting_for = "it sends no key frame"
        wait_until(lambda: len(bench.states()) == 2)
    before, after = (said.detail for said in bench.comings())
    assert "check its power" in before
    assert after == "timeout: it sends no key frame"
    assert failures(bench, SourceFailure.TIMEOUT) == 2


def test_a_live_camera_survives_surprises() -> None:
    """An error nobody thought of is counted, and the camera is opened again."""
    bug = ZeroDivisionError("a bug in a source")
    source = ScriptedSource([painted(0), bug], every(0.5, 2, first=5.0), live=True)
    bench = Bench()
    with running(bench, [camera(source, stale_after="1h")]):
        wait_until(lambda: source.opened == 2 and is_up(bench))
    assert failures(bench, SourceFailure.BROKEN) == 1


def test_losses_of_the_source_are_counted_once_each() -> None:
    """What a source lost is added to the drops, however often it is asked; files are no frames."""
    losses = {"decode error": 3, "unreadable file": 1}
    script: list[Step] = [*every(0.5, 4), lambda: losses.update({"decode error": 5}), painted(2.0)]
    bench = Bench()
    with running(bench, [camera(ScriptedSource(script, losses=losses))]) as supervisor:
        wait_until(lambda: supervisor.is_done)
    assert bench.dropped("decode error") == 5
    assert bench.dropped("unreadable file") == 0
    counted = bench.metrics.by_labels("moonwatch_camera_failures_total")
    assert counted == {("door", "unreadable file"): 1}


def test_losses_are_counted_for_each_opening() -> None:
    """A source counts from 0 when it is opened again, and so the losses add up."""
    script: list[Step] = [painted(0), ENDED]
    source = ScriptedSource(script, script, [painted(1)], live=True, losses={"decode error": 2})
    bench = Bench()
    with running(bench, [camera(source, stale_after="1h")]):
        wait_until(lambda: source.opened == 3 and is_up(bench))
    assert bench.dropped("decode error") == 6


@pytest.mark.parametrize("live", [True, False])
def test_stopping_takes_no_two_seconds(live: bool) -> None:
    """Live cameras that wait and files that wait for room all end at once."""
    config = MemoryConfig(file_room=1)
    bench = Bench(clock=SystemClock(), config=config)
    pictures = every(0.5, 100)
    cameras = [
        camera(ScriptedSource(pictures, live=live), f"camera-{n}", stale_after="36000d")
        for n in range(4)
    ]
    with running(bench, cameras) as supervisor:
        wait_until(lambda: bench.states().count("online") == 4)
        began = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - began < patience(2)
        assert supervisor.is_done
    assert not any(result.last for result in bench.results())


def test_stopping_does_not_wait_for_a_camera_to_be_tried_again() -> None:
    """A camera in its pause between two attempts ends at once."""
    bench = Bench(clock=SystemClock())
    with running(bench, [camera(ScriptedSource([REFUSED], live=True))]) as supervisor:
        wait_until(lambda: failures(bench, SourceFailure.REFUSED) == 1)
        began = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - began < patience(1)


def test_a_source_that_cannot_be_ended_holds_up_a_stop_for_two_seconds_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A read that nothing ends is left behind, and named in the log."""
    release = threading.Event()
    source = ScriptedSource(
        [painted(0), lambda: release.wait(patience(30)), ENDED], live=True, deaf=True
    )
    bench = Bench()
    supervisor = Supervisor([CameraLoop(camera(source), bench.outside)])
    supervisor.start()
    wait_until(lambda: bench.states() == ["online"])
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < patience(2.5)
    assert "camera-door did not end within 2 s" in caplog.text
    release.set()
    wait_until(lambda: not any(t.name == "camera-door" for t in threading.enumerate()))


def test_health_that_cannot_be_kept_ends_no_camera() -> None:
    """Where a listener fails, the camera is counted as broken and tried again."""
    bench = Bench(config=MemoryConfig(live_room=100))
    refusals = [1]

    def listen(health: Health) -> None:
        bench.said.append(health)
        if refusals:
            refusals.pop()
            raise OSError("disk full")

    outside = SamplerContext(bench.queues, listen, bench.metrics, bench.clock)
    source = ScriptedSource(every(0.5, 2), live=True)
    supervisor = Supervisor([CameraLoop(camera(source, stale_after="1h"), outside)])
    supervisor.start()
    wait_until(lambda: "fast" in bench.queues.jobs.backlog())
    supervisor.stop()
    assert failures(bench, SourceFailure.BROKEN) == 1


def test_a_new_reason_for_being_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """From refused to unauthorised is news to whoever mends it; the same again is not.

    The absence is still the same one: it began when it began.
    """
    said: list[Health] = []
    health = CameraHealth("door", said.append, Metrics())
    for nth, reason in enumerate(("refused", "refused", "unauthorised", "unauthorised", "refused")):
        health.offline(START + nth, reason)
    assert [(one.at, one.detail) for one in said] == [
        (START, "refused"),
        (START, "unauthorised"),
        (START, "refused"),
    ]
    told = [record.getMessage() for record in caplog.records if "still" in record.getMessage()]
    assert told == ["camera door is still offline: unauthorised"]
