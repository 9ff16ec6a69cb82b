"""From pictures to jobs: rates, ages, stillness, numbers, sizes and the end of a file."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.jobs import Result
from pipeline.core.sources import Need
from pipeline.core.tasks import Task
from pipeline.sampling.camera import Camera
from pipeline.sampling.config import SampleConfig
from pipeline.testing import patience, wait_until
from tests.sampling.fakes import (
    DOOR,
    PEOPLE,
    START,
    Bench,
    PaintedPicture,
    ScriptedSource,
    camera,
    every,
    offered,
    painted,
    reasons,
    sampled,
)


def two_engines(source: ScriptedSource, max_side: int | None = None) -> Camera:
    """People in every frame by one engine, the door every two seconds by another."""
    tasks: tuple[tuple[Task, float | None], ...] = ((PEOPLE, None), (DOOR, 2.0))
    return Camera("door", source, SampleConfig(), tasks, max_side)


def test_frames_come_at_the_rate_asked_for() -> None:
    """Of ten pictures a second every fifth becomes a frame; the others are counted."""
    bench = Bench()
    sampled(bench, camera(ScriptedSource(every(0.1, 21))))
    assert bench.times() == [0, 0.5, 1.0, 1.5, 2.0]
    assert bench.metrics.value("moonwatch_frames_received_total", camera="door") == 21
    assert bench.metrics.value("moonwatch_frames_sampled_total", camera="door") == 5
    assert bench.dropped("rate") == 16


def test_the_same_file_gives_the_same_jobs() -> None:
    """Numbers, times and tasks of a file are the same each time it is played."""
    played = []
    for _ in range(2):
        bench = Bench()
        sampled(bench, two_engines(ScriptedSource(every(0.1, 50))))
        jobs = bench.jobs("fast") + bench.jobs("slow")
        played.append(
            [(j.engine, j.ordinal, j.frame.run, j.frame.seq, j.frame.captured_at) for j in jobs]
        )
    assert played[0] == played[1]


def test_what_was_judged_before_a_restart_is_numbered_but_not_sent() -> None:
    """A file that plays again goes on after the last judged job of each engine."""
    played = []
    for judged in ({}, {"fast": ("script", 1), "slow": ("script", 0)}):
        source = ScriptedSource(every(0.5, 6))
        judged = {engine: (source.run, ordinal) for engine, (_, ordinal) in judged.items()}
        bench = Bench()
        sampled(bench, replace(two_engines(source), judged=judged))
        jobs = bench.jobs("fast") + bench.jobs("slow")
        played.append([(j.engine, j.ordinal, j.frame.seq, j.frame.captured_at) for j in jobs])
    assert played[1] == [job for job in played[0] if job[1] > (1 if job[0] == "fast" else 0)]
    assert len(played[1]) == len(played[0]) - 3


def test_a_file_is_a_repeat_up_to_the_first_job_that_is_sent() -> None:
    """Its source is told so with each picture; where the first one is sent, it is none any more."""
    seen: list[bool] = []
    source: ScriptedSource = ScriptedSource(
        [
            step
            for picture in every(0.5, 6)
            for step in (
                picture,
                lambda: seen.append(bool(source.need and source.need.is_repeat())),
            )
        ]
    )
    bench = Bench()
    sampled(bench, replace(camera(source), judged={"fast": (source.run, 2)}))
    assert [job.ordinal for job in bench.jobs("fast")] == [3, 4, 5]
    assert seen == [True, True, True, False, False, False]


@pytest.mark.parametrize(("last", "is_said"), [(5, True), (4, False)])
def test_a_file_in_which_nothing_is_new_is_said(
    last: int, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A second run over a recording that was judged to its end does not wonder about zeros."""
    source: ScriptedSource = ScriptedSource(every(0.5, 6))
    with caplog.at_level("INFO", "pipeline.sampling"):
        sampled(Bench(), replace(camera(source), judged={"fast": (source.run, last)}))
    assert ("was judged by an earlier run" in caplog.text) is is_said


@pytest.mark.parametrize("judged", [{}, {"fast": ("another recording", 2)}])
def test_another_recording_is_no_repeat(judged: dict[str, tuple[str, int]]) -> None:
    """Only what was judged of this run is passed over."""
    bench = Bench()
    file_camera = replace(camera(ScriptedSource()), judged=judged)
    assert not offered(bench, file_camera, []).need.is_repeat()


def test_numbers_have_no_gaps() -> None:
    """Frames count up by one, and so do the jobs of each engine."""
    bench = Bench()
    sampled(bench, two_engines(ScriptedSource(every(0.1, 60))))
    fast, slow = bench.jobs("fast"), bench.jobs("slow")
    assert [(job.ordinal, job.frame.seq) for job in fast] == [(n, n) for n in range(12)]
    assert [(job.ordinal, job.frame.seq) for job in slow] == [(0, 0), (1, 4), (2, 8)]
    assert {job.tasks for job in fast} == {(PEOPLE,)}
    assert {job.tasks for job in slow} == {(DOOR,)}


def test_pixels_are_converted_once_for_all_engines() -> None:
    """Jobs of one frame share its pixels, converted once; skipped pictures are not converted."""
    pictures = [PaintedPicture(np.full((48, 64, 3), n, np.uint8), START + n / 10) for n in range(5)]
    bench = Bench()
    sampled(bench, two_engines(ScriptedSource(pictures)))
    (fast,), (slow,) = bench.jobs("fast"), bench.jobs("slow")
    assert fast.frame is slow.frame
    assert [len(picture.conversions) for picture in pictures] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("engines", "operator", "expected"),
    [
        (None, None, (360, 640)),  # nobody has a limit
        (378, None, (213, 378)),  # what an engine can use
        (378, 100, (56, 100)),  # the operator wants less
        (100, 378, (56, 100)),  # the operator cannot make an engine see more
        (2000, None, (360, 640)),  # never up
    ],
)
def test_frames_are_as_large_as_an_engine_can_use(
    engines: int | None, operator: int | None, expected: tuple[int, int]
) -> None:
    """Pixels are scaled down to the smaller limit; the frame remembers the picture's size."""
    bench = Bench()
    source = ScriptedSource([painted(size_wh=(640, 360))])
    sample = SampleConfig(max_side=operator)
    sampled(bench, Camera("door", source, sample, ((PEOPLE, None),), engines))
    (job,) = bench.jobs()
    assert job.frame.pixels.shape == (*expected, 3)
    assert job.frame.size_wh == (640, 360)


def test_a_file_ends_with_a_marker_for_each_engine() -> None:
    """The processor hears that the run is over, with the ordinal after the last job's."""
    bench = Bench()
    sampled(bench, two_engines(ScriptedSource(every(0.1, 60))))
    ends = bench.results()
    assert [(end.engine, end.ordinal, end.seq, end.last) for end in ends] == [
        ("fast", 12, 12, True),
        ("slow", 3, 12, True),
    ]
    assert {(end.camera, end.run, end.live) for end in ends} == {("door", "file", False)}
    assert {end.captured_at for end in ends} == {START + 59 * 0.1}
    assert not any(end.answers for end in ends)


def test_an_empty_file_ends_too() -> None:
    """A file without pictures still ends, at ordinal 0."""
    bench = Bench()
    sampled(bench, camera(ScriptedSource([])))
    assert [(end.ordinal, end.last) for end in bench.results()] == [(0, True)]


@pytest.mark.parametrize(
    ("sample", "tasks", "every_s"),
    [
        ({"every": "500ms"}, ((PEOPLE, None), (DOOR, 30.0)), 0.5),
        ({"every": "500ms"}, ((DOOR, 30.0),), 30.0),  # nobody asks more often
        ({"every": "10s"}, ((PEOPLE, 1.0),), 10.0),  # the camera's rate is the most there is
        ({"max_fps": 5}, ((PEOPLE, None),), 0.2),
    ],
)
def test_sources_decode_no_more_than_is_asked(
    sample: dict[str, object], tasks: tuple[tuple[Task, float | None], ...], every_s: float
) -> None:
    """The source is told how rarely a picture is needed."""
    source = ScriptedSource([])
    sampled(Bench(), Camera("door", source, SampleConfig.model_validate(sample), tasks))
    assert source.need == Need(every_s=every_s)


def test_stale_pictures_are_dropped() -> None:
    """A live picture that took too long to get here is not worth an answer."""
    bench = Bench()
    live = camera(ScriptedSource(live=True), stale_after="3s")
    bench.clock.wait(10)
    offered(bench, live, [painted(2), painted(6.9), painted(7.5), painted(9.0)])
    assert bench.times() == [7.5, 9.0]
    assert bench.dropped("stale") == 2


def test_a_file_is_never_stale() -> None:
    """A file of last year is sampled completely."""
    bench = Bench()
    bench.clock.wait(365 * 86400)
    sampled(bench, camera(ScriptedSource(every(0.5, 4))))
    assert len(bench.jobs()) == 4


def still_life(count: int) -> list[PaintedPicture]:
    """A still scene every half second, with something in it from 20 s to 21 s."""
    rng = np.random.default_rng(5)
    base = rng.integers(40, 200, (90, 160, 3)).astype(np.uint8)
    pictures = []
    for n in range(count):
        pixels = np.clip(base + rng.normal(0, 2, base.shape), 0, 255).astype(np.uint8)
        if 40 <= n <= 42:
            pixels[30:70, 20 + 20 * (n - 40) : 40 + 20 * (n - 40)] //= 2
        pictures.append(PaintedPicture(pixels, START + n / 2))
    return pictures


def test_the_gate_opens_for_motion_and_for_the_heartbeat() -> None:
    """Without motion there is a frame every 10 s; with it, each one and a little longer."""
    bench = Bench()
    sampled(bench, camera(ScriptedSource(still_life(70)), motion={"linger": "1s"}))
    assert bench.times() == [0, 0.5, 1, 11, 20, 20.5, 21, 21.5, 22, 32]
    assert bench.dropped("motion") == 60


def test_a_question_waits_for_the_heartbeat_at_most() -> None:
    """A task whose time came in a still scene is asked with the next heartbeat."""
    bench = Bench()
    sample = SampleConfig.model_validate({"motion": {"linger": "0s", "heartbeat": "5s"}})
    tasks: tuple[tuple[Task, float | None], ...] = ((PEOPLE, None), (DOOR, 3.0))
    sampled(bench, Camera("door", ScriptedSource(still_life(40)), sample, tasks))
    assert bench.times("slow") == [0, 5, 10, 15]


def test_duplicates_are_dropped_where_wanted() -> None:
    """Pictures like the last frame are skipped, up to the heartbeat."""
    pictures = [painted(n / 2, level=60 if n < 10 else 160) for n in range(40)]
    bench = Bench()
    sampled(bench, camera(ScriptedSource(pictures), duplicates="drop"))
    assert bench.times() == [0, 5, 15]
    assert bench.dropped("duplicate") == 37


def test_duplicates_are_kept_otherwise() -> None:
    """Unless told to drop them, like pictures are frames."""
    bench = Bench()
    sampled(bench, camera(ScriptedSource([painted(n / 2) for n in range(10)])))
    assert len(bench.jobs()) == 10


def test_frames_without_a_task_are_none() -> None:
    """When no task is due, a picture is neither converted nor queued."""
    tasks: tuple[tuple[Task, float | None], ...] = ((PEOPLE, 1.0), (DOOR, 0.7))
    pictures = [
        PaintedPicture(np.full((48, 64, 3), n, np.uint8), START + n / 10) for n in range(30)
    ]
    bench = Bench()
    sampled(bench, Camera("door", ScriptedSource(pictures), SampleConfig(), tasks))
    frames = {job.frame.seq for job in bench.jobs("fast") + bench.jobs("slow")}
    assert frames == set(range(len(frames)))
    assert sum(len(picture.conversions) for picture in pictures) == len(frames)


def test_picture_trouble_is_reported_in_capture_time() -> None:
    """A picture that stands still is reported when that was, and its end as well."""
    same = [painted(n / 2, level=90) for n in range(80)]
    bench = Bench()
    sampled(bench, camera(ScriptedSource([*same, painted(40, level=120)])))
    assert [(health.state, health.at - START) for health in bench.said] == [
        ("online", 0),
        ("visible", 0),
        ("frozen", 30),
        ("moving", 40),
    ]


def test_live_losses_are_counted_and_answered_for() -> None:
    """What the queue lets go of for newer frames fails with a reason, and has no number twice."""
    bench = Bench(config=MemoryConfig(live_room=2))
    offered(bench, camera(ScriptedSource(live=True)), every(0.5, 5))
    failed = bench.results()
    assert [result.ordinal for result in failed] == [0, 1, 2]
    assert reasons(failed) == {"queue full"}
    assert bench.dropped("queue full") == 3
    assert [job.ordinal for job in bench.jobs()] == [3, 4]


def test_a_new_run_is_numbered_from_0() -> None:
    """After a reconnect with a new run name numbers start again; with the same, they go on."""
    bench = Bench()
    sampler = offered(bench, camera(ScriptedSource(live=True)), every(0.5, 2))
    sampler.begin("run-1")
    sampler.offer(painted(1.0))
    sampler.begin("run-2")
    sampler.offer(painted(1.5))
    numbers = [(job.frame.run, job.ordinal, job.frame.seq) for job in bench.jobs()]
    assert numbers == [("run-1", 0, 0), ("run-1", 1, 1), ("run-1", 2, 2), ("run-2", 0, 0)]


def test_a_reconnect_keeps_to_the_schedule() -> None:
    """A question asked every two seconds is not asked more often by a camera that keeps failing."""
    bench = Bench()
    source = ScriptedSource(live=True)
    sampler = offered(bench, two_engines(source), [])
    for n in range(8):
        sampler.begin(f"run-{n}")
        sampler.offer(painted(n / 2))
    assert bench.times("slow") == [0, 2]


def test_the_end_waits_for_room() -> None:
    """An end marker is not lost to a full result queue: it comes when there is room."""
    bench = Bench(config=MemoryConfig(results_room=1))
    full = Result("other", "file", "fast", 0, 0, START, (1, 1), live=False)
    bench.queues.results.publish([full], 0)
    file = threading.Thread(target=sampled, args=(bench, camera(ScriptedSource([painted()]))))
    file.start()
    wait_until(lambda: len(bench.queues.jobs.backlog()) == 1)
    assert [result.last for result in bench.results()] == [False]
    file.join(patience(10))
    assert [result.last for result in bench.results()] == [True]
