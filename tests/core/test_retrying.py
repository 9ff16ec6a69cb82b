"""Rests grow, differ by chance, honour what the other side asks for, and end with a stop."""

import logging
import random
import threading

import pytest

from pipeline.core.retrying import Backoff, Rests, SaidOnce, until_done
from pipeline.testing import ManualClock

USUAL = Rests(1.0, 300.0)
LOGGER = logging.getLogger("tests.retrying")


def test_rests_grow_up_to_a_limit() -> None:
    """Each may be anything below twice the one before, and none is longer than five minutes."""
    longest = [0.0] * 40
    for seed in range(300):
        backoff = Backoff(USUAL, random.Random(seed))
        for turn in range(40):
            longest[turn] = max(longest[turn], backoff.next_s())
    for turn, ceiling in ((0, 1), (1, 2), (4, 16), (9, 300), (39, 300)):
        assert 0.9 * ceiling < longest[turn] <= ceiling


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_chance_cuts_no_more_than_its_part(jitter: float, least: float) -> None:
    """Without jitter a rest is exact; with half of it at least half is left."""
    for seed in range(200):
        backoff = Backoff(Rests(1.0, 8.0, jitter), random.Random(seed))
        for whole in (1.0, 2.0, 4.0, 8.0, 8.0):
            assert least * whole <= backoff.next_s() <= whole


def test_it_never_wears_out() -> None:
    """Something may be away for a very long time."""
    backoff = Backoff(USUAL)
    assert all(backoff.next_s() <= 300 for _ in range(5000))


def test_a_success_makes_it_short_again() -> None:
    """The next failure is a first one."""
    backoff = Backoff(USUAL)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 1


def test_what_the_other_side_asks_for_is_the_least() -> None:
    """Up to an hour."""
    assert 60 <= Backoff(USUAL).next_s(60) <= 61
    assert Backoff(USUAL).next_s(10**6) == 3600


def test_what_fails_is_tried_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure and the success after it are said, and nothing between them."""
    caplog.set_level(logging.INFO)
    clock, left = ManualClock(), [OSError("one"), OSError("two"), OSError("three")]

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    done = until_done(
        attempt,
        OSError,
        said=SaidOnce(LOGGER, "back again"),
        sentence=lambda error: f"lost: {error}",
        backoff=Backoff(Rests(1.0, 2.0, jitter=0.0)),
        clock=clock,
        stop=threading.Event(),
    )
    assert done == "done"
    assert [record.message for record in caplog.records] == ["lost: one", "back again"]
    assert clock.monotonic() == 1.0 + 2.0 + 2.0


def test_a_stop_ends_it_with_the_last_failure() -> None:
    """Who is told to stop does not wait, and hears why it had not worked."""
    stop = threading.Event()
    stop.set()

    def attempt() -> None:
        raise OSError("still away")

    with pytest.raises(OSError, match="still away"):
        until_done(
            attempt,
            OSError,
            said=SaidOnce(LOGGER, "back again"),
            sentence=str,
            backoff=Backoff(USUAL),
            clock=ManualClock(),
            stop=stop,
        )


def test_what_is_not_expected_is_not_tried_again() -> None:
    """Only the named errors are."""

    def attempt() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        until_done(
            attempt,
            OSError,
            said=SaidOnce(LOGGER, "back again"),
            sentence=str,
            backoff=Backoff(USUAL),
            clock=ManualClock(),
            stop=threading.Event(),
        )
