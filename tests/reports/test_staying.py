"""How long people stay in a store, by its doors: against stores whose visits are known."""

import random
from collections import Counter

import pytest

from pipeline.reports.staying import StoreDay, by_minute, store_day, time_in_store


def counted(visits: list[tuple[float, float]]) -> tuple[Counter[int], Counter[int]]:
    """What doors count of visits, given by beginning and end in seconds."""
    came_in = Counter(int(begin // 60) * 60 for begin, _ in visits)
    return came_in, Counter(int(end // 60) * 60 for _, end in visits)


def a_day(seed: int, number: int = 400) -> list[tuple[float, float]]:
    """Visits of a few minutes to an hour, from 9 to 20 o'clock."""
    rng = random.Random(seed)
    begins = [rng.uniform(9 * 3600, 19 * 3600) for _ in range(number)]
    return [(begin, begin + 120 + rng.expovariate(1 / 900)) for begin in begins]


@pytest.mark.parametrize("seed", range(5))
def test_all_that_is_counted_gives_the_mean_stay(seed: int) -> None:
    """To the fraction of a minute that the buckets leave open."""
    visits = a_day(seed)
    day = store_day(*counted(visits))
    assert day is not None
    stayed = sum(end - begin for begin, end in visits) / len(visits)
    assert day.spent_s / day.came_in == pytest.approx(stayed, abs=5.0)
    assert day.least_s == day.spent_s == day.most_s


@pytest.mark.parametrize("seed", range(20))
def test_what_was_missed_lies_within_the_bounds(seed: int) -> None:
    """A few of those who go out, or come in, are not seen: at any hour, and at one door only."""
    rng = random.Random(seed)
    visits = a_day(seed)
    came_in, went_out = counted(visits)
    door = came_in if seed % 2 else went_out
    from_hour = rng.choice((9, 12, 17))
    for minute in list(door):
        if minute >= from_hour * 3600 and rng.random() < 0.01:
            del door[minute]
    day = store_day(came_in, went_out)
    assert day is not None
    stayed = sum(end - begin for begin, end in visits) / len(visits)
    assert day.least_s <= day.spent_s <= day.most_s
    # Those who were missed coming in are not among those by whom the time is divided.
    share = len(visits) / day.came_in
    assert day.least_s / day.came_in - 5 <= stayed * share <= day.most_s / day.came_in + 5


@pytest.mark.parametrize(
    ("came_in", "went_out"),
    [
        ({}, {}),
        ({}, {60: 3.0}),
        ({60: 10.0}, {600: 7.0}),
        ({60: 10.0}, {600: 13.0}),
        ({60: 100.0, 36000: 1.0}, {120: 90.0}),  # eleven all day, or nobody
        ({600: 10.0}, {60: 10.0}),  # gone before they came
    ],
)
def test_a_day_that_does_not_add_up_says_nothing(
    came_in: dict[int, float], went_out: dict[int, float]
) -> None:
    """Nor one on which nobody came."""
    assert store_day(came_in, went_out) is None


def test_days_weigh_as_many_as_came() -> None:
    """Those of which nothing is known are counted apart."""
    days = [StoreDay(10, 6000, 5000, 7000), None, StoreDay(30, 9000, 9000, 9000)]
    found = time_in_store(days)
    assert (found.days, found.by_day) == (2, (600.0, None, 300.0))
    assert (found.mean_s, found.least_s, found.most_s) == (375.0, 350.0, 400.0)
    assert time_in_store([None]).mean_s is None


def test_several_doors_are_one_store() -> None:
    """People may leave by another one."""
    assert by_minute([[(60, 2.0), (120, None)], [(60, 1.0), (180, 3.0)]]) == {60: 3.0, 180: 3.0}


def test_a_tenth_that_was_missed_is_too_much() -> None:
    """Were they inside all day? Then the estimate would be several times as long."""
    came_in, went_out = counted(a_day(0))
    for number, minute in enumerate(list(went_out)):
        if number % 10 == 0:
            del went_out[minute]
    assert store_day(came_in, went_out) is None
