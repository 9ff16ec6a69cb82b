"""A real file through a real source: the bundled clip, sampled from end to end."""

import threading
import time
from pathlib import Path

import pytest

from connectors.queues.memory import MemoryConfig
from connectors.sources.file import FileConfig
from pipeline.core.clock import SystemClock
from pipeline.core.jobs import Job
from pipeline.sampling.camera import Camera
from pipeline.sampling.config import SampleConfig
from pipeline.sampling.loop import CameraLoop
from pipeline.sampling.supervisor import Supervisor
from pipeline.testing import patience, wait_until
from tests.contracts.queue_tools import answer
from tests.sampling.fakes import PEOPLE, Bench

CLIP = Path(__file__).parents[2] / "configs" / "media" / "plaza.mp4"
LENGTH_S = 79.5


def clip(name: str = "plaza", max_side: int | None = 200, **sample: object) -> Camera:
    """The bundled clip as a camera, once a second."""
    config = SampleConfig.model_validate({"every": "1s"} | sample)
    source = FileConfig.model_validate({"path": str(CLIP), "starts_at": "2026-11-22T08:00:00Z"})
    return Camera(name, source.build(SystemClock()), config, ((PEOPLE, None),), max_side)


def worked_off(bench: Bench, supervisor: Supervisor) -> list[Job]:
    """All jobs of cameras that play to their end, worked off as they come."""
    jobs: list[Job] = []
    while not supervisor.is_done or bench.queues.jobs.backlog()["fast"].length:
        claims = bench.queues.jobs.claim("fast", 8, 0.05)
        answer(bench.queues, claims)
        jobs += [claim.job for claim in claims]
    return jobs


def played(*cameras: Camera) -> tuple[Bench, list[Job]]:
    """Play cameras through a small queue to their end."""
    bench = Bench(clock=SystemClock(), config=MemoryConfig(file_room=4))
    supervisor = Supervisor([CameraLoop(one, bench.outside) for one in cameras])
    supervisor.start()
    wait_until(lambda: "fast" in bench.queues.jobs.backlog())
    jobs = worked_off(bench, supervisor)
    supervisor.stop()
    assert supervisor.failures == {}
    return bench, jobs


def test_a_clip_is_sampled_completely() -> None:
    """A frame for every second of the clip, resized and in order, then the end; none is lost."""
    bench, jobs = played(clip())
    assert [job.ordinal for job in jobs] == list(range(80))
    late = [job.frame.captured_at - jobs[0].frame.captured_at - n for n, job in enumerate(jobs)]
    # The picture at a due time itself may be one that nobody needs decoded: then the next is taken.
    assert -0.001 <= min(late) <= max(late) < 0.3
    assert {job.frame.pixels.shape for job in jobs} == {(150, 200, 3)}
    assert {job.frame.size_wh for job in jobs} == {(768, 576)}
    (end,) = [result for result in bench.results() if result.last]
    assert (end.ordinal, end.last) == (80, True)
    assert end.captured_at == pytest.approx(jobs[0].frame.captured_at + LENGTH_S, abs=1)
    assert bench.states() == ["online"]


def test_motion_and_masks_on_a_clip() -> None:
    """People move nearly all the time; what a mask hides is black in every frame of them."""
    corner = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    bench, jobs = played(clip(motion=True, masks=[corner]))
    assert len(jobs) + bench.dropped("motion", "plaza") == 80
    assert len(jobs) >= 76
    assert not any(job.frame.pixels[:75, :100].any() for job in jobs)
    assert all(job.frame.pixels[80:, 110:].any() for job in jobs)


def test_a_clip_is_the_same_twice_and_beside_others() -> None:
    """Two cameras at once give the same frames of the same clip as each other."""
    _, jobs = played(clip("a", every="4s"), clip("b", every="4s"))
    frames = {
        name: [
            (job.ordinal, job.frame.seq, job.frame.captured_at, job.frame.pixels.tobytes())
            for job in jobs
            if job.frame.camera == name
        ]
        for name in ("a", "b")
    }
    assert len(frames["a"]) == 20
    assert frames["a"] == frames["b"]


def test_a_clip_can_be_stopped() -> None:
    """Files that wait for room stop at once, leave no thread, and are not called ended."""
    bench = Bench(clock=SystemClock(), config=MemoryConfig(file_room=2))
    before = set(threading.enumerate())
    supervisor = Supervisor([CameraLoop(clip(name), bench.outside) for name in "ab"])
    supervisor.start()
    wait_until(
        lambda: (
            bench.queues.jobs.backlog().get("fast", None) is not None
            and bench.queues.jobs.backlog()["fast"].length == 4
        )
    )
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < patience(2)
    assert set(threading.enumerate()) <= before
    assert bench.results() == []
    assert supervisor.failures == {}


def test_a_missing_clip_is_a_failure(tmp_path: Path) -> None:
    """A file that is not there is reported with its path, for an exit code of 1."""
    source = FileConfig(path=str(tmp_path / "none.mp4")).build(SystemClock())
    bench = Bench(clock=SystemClock())
    missing = Camera("door", source, SampleConfig(), ((PEOPLE, None),))
    supervisor = Supervisor([CameraLoop(missing, bench.outside)])
    supervisor.start()
    wait_until(lambda: supervisor.is_done)
    supervisor.stop()
    assert "none.mp4" in supervisor.failures["door"]
