"""The days of a month: how much happened on each, what of it is not reviewed, what is known."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from pipeline.core.happenings import Bins
from pipeline.web.events.finding import Finder
from pipeline.web.events.lanes import known_of
from pipeline.web.events.wishes import EventWish

MOST_CAMERAS: Final = 64
"""Of so many it is looked up how much is known."""


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day of a site's clock, which has 23 or 25 hours where clocks change."""

    day: date
    since: float
    until: float
    """UTC seconds; the day ends before it."""
    happenings: int
    unreviewed: int
    """By who asks."""
    known: float | None
    """The mean share of it that is known of the cameras; None for a day that is to come."""


def month_of(finder: Finder, wish: EventWish, first: date, now: float) -> list[CalendarDay]:
    """The days of the month that begins on `first`, by the clock of the cameras' site.

    Only filters that a database applies are counted by. Raises StoreError.
    """
    zone = zone_of(finder, wish)
    days = [
        (first + timedelta(days=n), *_span(first + timedelta(days=n), zone))
        for n in range(calendar.monthrange(first.year, first.month)[1])
    ]
    wish = replace(wish, since=days[0][1], until=days[-1][2])
    cameras = [
        name
        for name in finder.visitor.seen_of(finder.deployment.cameras)
        if not wish.cameras or name in wish.cameras
    ][:MOST_CAMERAS]
    all_of = wish.query(finder.visitor.name, finder.cameras)
    unseen = replace(wish, reviewed=False).query(finder.visitor.name, finder.cameras)
    found = []
    # Days of the same length are counted in one go: three times, in a month in which clocks change.
    for _, of_a_length in groupby(days, key=lambda one: one[2] - one[1]):
        some = list(of_a_length)
        bins = Bins(some[0][1], some[0][2] - some[0][1], len(some))
        number, left = [0] * len(some), [0] * len(some)
        for query, counts in ((all_of, number), (unseen, left)):
            for tally in finder.store.happenings.tallies(query, bins):
                counts[tally.bin] += tally.happenings
        known = list(known_of(finder, cameras, bins, now).values())
        found += [
            CalendarDay(*one, number[n], left[n], _mean([shares[n] for shares in known]))
            for n, one in enumerate(some)
        ]
    return found


def zone_of(finder: Finder, wish: EventWish) -> str:
    """The time zone of the chosen cameras where they share one, else of the file's own site."""
    deployment = finder.deployment
    zones = {
        deployment.site_of(name).timezone
        for name in finder.visitor.seen_of(deployment.cameras)
        if not wish.cameras or name in wish.cameras
    }
    return zones.pop() if len(zones) == 1 else deployment.site.timezone


def _span(day: date, zone: str) -> tuple[float, float]:
    begins, ends = (
        datetime(one.year, one.month, one.day, tzinfo=ZoneInfo(zone)).timestamp()
        for one in (day, day + timedelta(days=1))
    )
    return begins, ends


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return round(sum(known) / len(known), 4) if known else None
