"""Moments that come again, by the clock on the wall."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.core.opening_hours import OpeningHours
from pipeline.core.recurring import recurrence

ZONE = "Europe/Berlin"
HOURS = OpeningHours(ZONE)


def at(text: str) -> float:
    """UTC seconds of a time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()


@pytest.mark.parametrize(
    ("written", "now", "latest", "following"),
    [
        ("day 7:00", "2026-11-24T07:00", "2026-11-24T07:00", "2026-11-25T07:00"),
        ("daily 07:00", "2026-11-24T06:59", "2026-11-23T07:00", "2026-11-24T07:00"),
        ("mon 7:00", "2026-11-24T00:00", "2026-11-23T07:00", "2026-11-30T07:00"),
        ("Monday 7:00", "2026-11-23T06:59", "2026-11-16T07:00", "2026-11-23T07:00"),
        ("month 23:59", "2027-01-01T08:00", "2026-12-01T23:59", "2027-01-01T23:59"),
        ("day 7:00", "2026-10-25T06:59", "2026-10-24T07:00", "2026-10-25T07:00"),  # autumn
        ("sun 7:00", "2026-03-29T12:00", "2026-03-29T07:00", "2026-04-05T07:00"),  # spring
    ],
)
def test_moments_are_of_the_wall_clock(written: str, now: str, latest: str, following: str) -> None:
    """Also across the changes of the clocks, months and years."""
    when = recurrence(written)
    assert when.latest(at(now), HOURS) == at(latest)
    assert when.following(at(now), HOURS) == at(following)


def test_a_time_the_clocks_skip_or_show_twice_comes_once() -> None:
    """In spring it is the moment of the change; in autumn the first of the two."""
    skipped = recurrence("day 2:30").latest(at("2026-03-29T12:00"), HOURS)
    assert skipped == at("2026-03-29T03:00")
    twice = recurrence("day 2:30")
    first = twice.latest(at("2026-10-25T12:00"), HOURS)
    assert first == at("2026-10-25T02:30")
    assert twice.following(first, HOURS) == at("2026-10-26T02:30")


@pytest.mark.parametrize("written", ["7:00", "mon", "mon 24:00", "mon 7:60", "someday 7:00", ""])
def test_what_says_no_time_is_refused(written: str) -> None:
    """With what can be written instead, or which hours there are."""
    with pytest.raises(ValueError, match=r"`mon 7:00`|0:00 to 23:59"):
        recurrence(written)
