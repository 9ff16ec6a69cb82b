"""Where a task with `where: motion` is told to look, frame by frame."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.frames import Picture
from pipeline.core.geometry import Box
from pipeline.core.jobs import WHOLE, Job
from pipeline.core.tasks import Detect
from pipeline.inference.cuts import cuts_of
from pipeline.sampling.camera import Camera, Looking
from tests.sampling.fakes import PEOPLE, START, Bench, ScriptedSource, camera, offered, sampled
from tests.sampling.hall import (
    EVERY_S,
    PERSON_WH,
    SIDE,
    SIZE_WH,
    People,
    Place,
    picture,
    pictures,
)
from tests.sampling.test_outbox import Unreliable, unreliable

CONFIRM_S = 5.0


def hall(script: Iterable[Picture] = (), *, live: bool = False, **sample: Any) -> Camera:
    """A camera in the hall that looks where it moves."""
    made = camera(ScriptedSource(list(script), live=live), max_side=240, **sample)
    return replace(made, looking={"people": Looking(CONFIRM_S, SIDE)})


def jobs_of(count: int, people: People, **sample: Any) -> list[Job]:
    """The jobs of a recording of the hall."""
    bench = Bench()
    sampled(bench, hall(pictures(count, people), **sample))
    return bench.jobs()


def regions(job: Job) -> tuple[Box, ...]:
    """Where a job looks, without the whole picture."""
    assert job.focus is not None
    return tuple(region for region in job.focus.regions if region != WHOLE)


def is_whole(job: Job) -> bool:
    """Whether a job looks at the whole picture as well."""
    assert job.focus is not None
    return WHOLE in job.focus.regions


def looks_at(job: Job, place: Place) -> bool:
    """Whether a person there would be shown closely."""
    x, y = place[0] + PERSON_WH[0] / 2, place[1] + PERSON_WH[1] / 2
    cuts = cuts_of(regions(job), SIZE_WH, SIDE)
    return any(left <= x < right and top <= y < bottom for left, top, right, bottom in cuts)


def number_of(job: Job) -> int:
    """Which of the pictures it is about."""
    return round((job.frame.captured_at - START) / EVERY_S)


def nobody(_: int) -> Sequence[Place]:
    """An empty hall."""
    return ()


def test_a_still_hall_is_confirmed_and_never_skipped() -> None:
    """Every frame is a job; the whole of it is looked at first, and then every five seconds."""
    jobs = jobs_of(60, nobody)
    assert len(jobs) == 60
    assert all(job.focus is not None and job.focus.tasks == ("people",) for job in jobs)
    whole = [n for n, job in enumerate(jobs) if is_whole(job)]
    assert whole[:3] == [0, 1, 2]
    assert whole[3:] == [12, 22, 32, 42, 52]
    assert not any(regions(job) for n, job in enumerate(jobs) if n > 4 and n % 10 not in (2, 3))


def test_each_part_is_looked_at_closely_in_turns() -> None:
    """Within twelve looks at the whole, and in two jobs in a row."""
    bench = Bench()
    door = hall(pictures(36, nobody))
    sampled(bench, replace(door, looking={"people": Looking(1.5, SIDE)}))
    jobs = bench.jobs()
    middles = [(x, y) for x in range(5, SIZE_WH[0] - 10, 45) for y in range(5, SIZE_WH[1] - 20, 45)]
    for place in middles:
        seen = [n for n, job in enumerate(jobs) if looks_at(job, place)]
        assert seen
        assert seen[1] == seen[0] + 1


def test_rain_does_not_end_the_close_looks() -> None:
    """Where more moves than can be meant, every part still has its turn: who left leaves no ghost,
    and who stands there is seen.
    """
    rng = np.random.default_rng(3)
    bench = Bench()

    def rain(n: int) -> Picture:
        pixels = picture(n, ()).pixels.copy()
        for x in range(0, SIZE_WH[0], 30):
            for y in range(0, SIZE_WH[1], 30):
                left, top = x + rng.integers(20), y + rng.integers(20)
                pixels[top : top + 4, left : left + 4] = 250
        return replace(picture(n, ()), pixels=pixels)

    sampled(bench, hall(rain(n) for n in range(180)))
    jobs = bench.jobs()[20:]
    assert sum(is_whole(job) for job in jobs) > 150
    for x in range(30, SIZE_WH[0], 60):
        for y in range(30, SIZE_WH[1] - PERSON_WH[1], 60):
            seen = [n for n, job in enumerate(jobs) if looks_at(job, (x, y))]
            assert any(b == a + 1 for a, b in pairwise(seen)), (x, y)


def test_who_walks_is_looked_at_and_so_is_where_he_was() -> None:
    """A place is looked at three times more after he has left it."""

    def walks(n: int) -> Sequence[Place]:
        return ((20 + 12 * (n - 20), 150),) if 20 <= n < 50 else ()

    jobs = jobs_of(70, walks)
    for n in range(20, 50):
        (there,) = walks(n)
        for later in range(n, n + 4):
            assert looks_at(jobs[later], there)
    assert not any(looks_at(job, walks(25)[0]) for job in jobs[40:42])


def test_full_pictures_are_sent_only_to_be_cut() -> None:
    """A still one is sent no larger than the engine can use."""
    jobs = jobs_of(30, lambda n: ((20 + 10 * n, 150),) if n >= 20 else ())
    for n, job in enumerate(jobs):
        width, height = (480, 270) if regions(job) else (240, 135)
        assert job.frame.pixels.shape == (height, width, 3), n


def test_motion_between_two_frames_of_a_task_is_not_forgotten() -> None:
    """A task that is asked every two seconds is shown where somebody was in between."""
    bench = Bench()
    people = ((5, 100), (125, 100), (250, 100), (375, 100))

    def runs(n: int) -> Sequence[Place]:
        return (people[n - 21],) if 21 <= n < 25 else ()

    door = hall(pictures(32, runs))
    cars = Detect("cars", "fast", "car")
    sampled(bench, replace(door, tasks=((PEOPLE, 2.0), (cars, None))))
    jobs = {number_of(job): job for job in bench.jobs()}
    assert len(jobs) == 32
    assert [n for n, job in jobs.items() if job.focus is not None] == [*range(0, 32, 4)]
    assert all(looks_at(jobs[24], place) for place in people)


def test_a_frame_that_the_queue_did_not_take_is_made_up_for() -> None:
    """What moved in it is looked at in the next one."""
    bench = unreliable(0)
    assert isinstance(bench.front.jobs, Unreliable)
    sampler = offered(bench, hall(live=True), (picture(n, ()) for n in range(20)))
    bench.front.jobs.failures = 1
    sampler.offer(picture(20, ((300, 100),)))
    sampler.offer(picture(21, ()))
    jobs = bench.jobs()
    assert [round(job.frame.captured_at - START, 3) for job in jobs[-2:]] == [9.5, 10.5]
    assert looks_at(jobs[-1], (300, 100))


def test_a_dropped_frame_is_made_up_for_by_a_look_at_the_whole() -> None:
    """Where the queue drops a job for a newer one, the next frame is looked at as a whole."""
    bench = Bench(config=MemoryConfig(live_room=4))
    sampler = offered(bench, hall(live=True), (picture(n, ()) for n in range(16)))
    bench.jobs()
    for n in range(16, 20):
        sampler.offer(picture(n, ()))
    assert not any(is_whole(job) for job in bench.jobs())
    for n in range(20, 26):
        sampler.offer(picture(n, ()))
    assert is_whole(bench.jobs()[-1])


@pytest.mark.parametrize("judged", [7, 24])
def test_a_recording_that_goes_on_looks_where_it_would_have(judged: int) -> None:
    """After a restart, the jobs that follow are the same as without it."""

    def walks(n: int) -> Sequence[Place]:
        return ((20 + 10 * (n - 15), 150), (400, 80)) if n >= 15 else ((400, 80),)

    whole = jobs_of(40, walks)
    bench = Bench()
    again = hall(pictures(40, walks))
    sampled(bench, replace(again, judged={"fast": ("file", judged)}))
    rest = bench.jobs()
    assert [job.ordinal for job in rest] == list(range(judged + 1, 40))
    assert [job.focus for job in rest] == [job.focus for job in whole[judged + 1 :]]


def test_a_motion_gate_leaves_frames_out_and_nothing_else_changes() -> None:
    """Frames without motion are left out as ever; where they are sent, they look as ever."""

    def walks(n: int) -> Sequence[Place]:
        return ((20 + 12 * (n - 25), 150),) if 25 <= n < 35 else ()

    jobs = jobs_of(60, walks, motion={"sensitivity": 1.0, "heartbeat": "8s", "linger": "0s"})
    assert len(jobs) < 40
    moving = {number_of(job): job for job in jobs}
    assert all(looks_at(moving[n], walks(n)[0]) for n in range(26, 35) if n in moving)
    assert sum(n in moving for n in range(26, 35)) >= 8


def test_what_a_mask_hides_is_not_looked_at() -> None:
    """A privacy mask over the one who walks."""
    mask = [[0.0, 0.5], [1.0, 0.5], [1.0, 0.7], [0.0, 0.7]]
    jobs = jobs_of(40, lambda n: ((20 + 10 * n, 150),), masks=[mask])
    assert not any(regions(job) for n, job in enumerate(jobs) if n > 4 and n % 10 not in (2, 3))


def test_a_switched_light_is_looked_at_as_a_whole() -> None:
    """Until what is still under the other light is known."""
    bench = Bench()
    sampler = offered(bench, hall(), (picture(n, ()) for n in range(20)))
    bench.jobs()
    for n in range(20, 30):
        sampler.offer(replace(picture(n, ()), pixels=255 - picture(n, ()).pixels))
    jobs = bench.jobs()
    assert all(is_whole(job) for job in jobs[:3])
    assert not any(is_whole(job) for job in jobs[4:])
