"""Clocks: the machine's own, and the one that tests turn by hand."""

import threading
import time

import pytest

from pipeline.core.clock import Clock, SystemClock
from pipeline.testing import ManualClock, patience

CLOCKS: list[Clock] = [SystemClock(), ManualClock()]


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
def test_waiting_takes_the_clocks_own_time(clock: Clock) -> None:
    """Both of its times have moved on by what was waited, at least."""
    now, elapsed = clock.now(), clock.monotonic()
    assert clock.wait(0.02) is False
    assert clock.monotonic() - elapsed >= 0.02 - 1e-6
    assert clock.now() - now >= 0.015


@pytest.mark.parametrize("clock", CLOCKS, ids=lambda clock: type(clock).__name__)
def test_a_stop_ends_a_wait(clock: Clock) -> None:
    """At once where it is set already, however long the wait."""
    stop = threading.Event()
    assert clock.wait(0.0, stop) is False
    stop.set()
    assert clock.wait(3600.0, stop) is True


def test_the_machines_clock_is_woken_by_a_stop() -> None:
    """A stop that comes while it waits ends the wait, too."""
    stop = threading.Event()
    threading.Timer(0.02, stop.set).start()
    began = time.monotonic()
    assert SystemClock().wait(30.0, stop) is True
    assert time.monotonic() - began < patience(20.0)


def test_the_machines_clock_tells_utc() -> None:
    """The same seconds as everybody else's."""
    assert SystemClock().now() == pytest.approx(time.time(), abs=5.0)


def test_a_manual_clock_stands_still() -> None:
    """Nothing moves it but `advance` and `wait`; both of its times go together."""
    clock = ManualClock(100.0)
    assert (clock.now(), clock.monotonic()) == (100.0, 0.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)
