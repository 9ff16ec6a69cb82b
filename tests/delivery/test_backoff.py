"""Rests grow, are never the same for all, and honour what the other side asks for."""

import random

from pipeline.delivery.backoff import Backoff


def test_rests_grow_up_to_a_limit() -> None:
    """Each may be anything below twice the one before, and none is longer than five minutes."""
    longest = [0.0] * 40
    for seed in range(300):
        backoff = Backoff(random.Random(seed))
        for turn in range(40):
            longest[turn] = max(longest[turn], backoff.next_s())
    for turn, ceiling in ((0, 1), (1, 2), (4, 16), (9, 300), (39, 300)):
        assert 0.9 * ceiling < longest[turn] <= ceiling


def test_it_never_wears_out() -> None:
    """A sink may be down for a very long time."""
    backoff = Backoff()
    assert all(backoff.next_s() <= 300 for _ in range(5000))


def test_a_success_makes_it_short_again() -> None:
    """The next failure is a first one."""
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 1


def test_what_the_other_side_asks_for_is_the_least() -> None:
    """Up to an hour."""
    assert 60 <= Backoff().next_s(60) <= 61
    assert Backoff().next_s(10**6) == 3600
