"""Hours and days as a site's clock has them, and counting in one process."""

from datetime import UTC, datetime

import pytest

from pipeline.core.spending import Period, Spending, SpendingHere, allowance
from tests.contracts.spending import SpendingContract


class TestHere(SpendingContract):
    """In the memory of one process."""

    def opened(self) -> Spending:
        """A place of its own."""
        return SpendingHere()


@pytest.mark.parametrize(
    ("period", "now", "zone", "begins", "ends"),
    [
        ("day", "2026-11-27T09:20", "Europe/Berlin", "2026-11-26T23:00", "2026-11-27T23:00"),
        ("day", "2026-11-26T23:00", "Europe/Berlin", "2026-11-26T23:00", "2026-11-27T23:00"),
        # The day on which the clocks are put back has 25 hours, and the other one 23.
        ("day", "2026-10-25T12:00", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("day", "2026-03-29T12:00", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("hour", "2026-11-27T09:59", "Europe/Berlin", "2026-11-27T09:00", "2026-11-27T10:00"),
        # The hour that comes twice is two hours.
        ("hour", "2026-10-25T00:30", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour", "2026-10-25T01:30", "Europe/Berlin", "2026-10-25T01:00", "2026-10-25T02:00"),
        # Where the clock is half an hour off.
        ("hour", "2026-11-27T09:20", "Asia/Kolkata", "2026-11-27T08:30", "2026-11-27T09:30"),
        ("day", "2026-11-27T20:00", "Asia/Kolkata", "2026-11-27T18:30", "2026-11-28T18:30"),
    ],
)
def test_a_period_is_that_of_the_site(
    period: Period, now: str, zone: str, begins: str, ends: str
) -> None:
    """Its own midnight, also where clocks change."""

    def at(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    found = allowance(period, 1, at(now), zone)
    assert (found.begins_at, found.ends_at) == (at(begins), at(ends))
