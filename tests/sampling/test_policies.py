"""When pictures and tasks are due."""

import pytest

from pipeline.core.tasks import Count, Detect, Task
from pipeline.sampling.policies import Grid, TaskSchedule
from tests.sampling.fakes import DOOR, PEOPLE, START


def taken(every_s: float, times: list[float]) -> list[float]:
    """Which of the times a grid takes."""
    grid = Grid(every_s)
    chosen = []
    for at in times:
        if grid.is_due(START + at):
            grid.take(START + at)
            chosen.append(at)
    return chosen


@pytest.mark.parametrize(
    ("every_s", "times", "chosen"),
    [
        (1.0, [0, 0.4, 0.8, 1.2, 1.6, 2.0], [0, 1.2, 2.0]),  # the grid stays where it began
        (1.0, [0.3, 0.9, 1.29, 1.3, 2.2, 2.3], [0.3, 1.3, 2.3]),  # it begins with the first
        (1.0, [0, 0.9995, 1.5], [0, 0.9995]),  # a rounded timestamp is on time
        (1.0, [0, 7.7, 7.8, 8.1, 8.2], [0, 7.7, 8.1]),  # no burst after a gap
        (0.5, [0, 0.6, 0.55, 1.0], [0, 0.6, 1.0]),  # jitter backwards is no new picture
        (1.0, [50, 51, 3, 3.5, 4], [50, 51, 3, 4]),  # a clock set anew starts a new grid
        (0.1, [0, 0.04, 0.08, 0.12, 0.16, 0.2], [0, 0.12, 0.2]),  # 25 a second, 10 wanted
    ],
)
def test_due_times(every_s: float, times: list[float], chosen: list[float]) -> None:
    """The first picture at or after each due time is taken."""
    assert taken(every_s, times) == chosen


@pytest.mark.parametrize("fps", [10, 12.5, 15, 24000 / 1001, 25, 30, 30000 / 1001, 50])
def test_rate_over_an_hour(fps: float) -> None:
    """Whatever the frame rate, an hour at 500 ms has 7200 frames, give or take one."""
    times = [round(n / fps, 4) for n in range(int(3600 * fps))]
    assert len(taken(0.5, times)) == pytest.approx(7200, abs=1)


def asked_at(schedule: TaskSchedule, at: float) -> dict[str, tuple[Task, ...]]:
    """What is due then, all of it asked."""
    due = schedule.due(at)
    for engine in due:
        schedule.take(engine, at)
    return due


def test_tasks_have_rates_of_their_own() -> None:
    """Each frame has the tasks that are due then, by engine."""
    cars = Count("cars", "fast", "car")
    schedule = TaskSchedule([(PEOPLE, None), (cars, 1.0), (DOOR, 2.0)])
    asked = [asked_at(schedule, START + 0.5 * n) for n in range(5)]
    assert [list(due) for due in asked] == [
        ["fast", "slow"],
        ["fast"],
        ["fast"],
        ["fast"],
        ["fast", "slow"],
    ]
    assert [len(due["fast"]) for due in asked] == [2, 1, 2, 1, 2]


def test_a_task_waits_for_a_frame() -> None:
    """A task whose time came without a frame is asked at the next one, once."""
    schedule = TaskSchedule([(PEOPLE, None), (DOOR, 10.0)])
    at = (0, 5, 27, 28, 29, 30)
    assert [t for t in at if "slow" in asked_at(schedule, START + t)] == [0, 27, 30]


@pytest.mark.parametrize(
    ("tasks", "shortest_s"),
    [
        ([(PEOPLE, None), (DOOR, 30.0)], 0.0),  # one wants every frame
        ([(PEOPLE, 5.0), (DOOR, 30.0)], 5.0),
        ([(DOOR, 30.0)], 30.0),
    ],
)
def test_no_more_is_decoded_than_asked(
    tasks: list[tuple[Detect, float | None]], shortest_s: float
) -> None:
    """The most frequent task says how often a frame is needed at all."""
    assert TaskSchedule(tasks).shortest_s == shortest_s


def test_nothing_due_is_known_beforehand() -> None:
    """A frame without a task is recognised, and asking changes nothing."""
    schedule = TaskSchedule([(DOOR, 30.0)])
    assert schedule.is_due(START)
    assert schedule.is_due(START)
    assert "slow" in schedule.due(START)
    assert schedule.is_due(START + 1)
    schedule.take("slow", START)
    assert not schedule.is_due(START + 29)
    assert schedule.is_due(START + 30)
