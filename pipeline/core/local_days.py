"""The days of sites and their clocks' offsets, kept in the store for who asks it in SQL.

A database knows neither opening hours nor, in SQLite, time zones: so what its views need of both is
written down for the time that there are minutes of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from pipeline.core.measures import BUCKET_S
from pipeline.core.opening_hours import OpeningHours

if TYPE_CHECKING:
    from pipeline.core.store import LeaseProof

_AROUND_S = 2 * 86_400.0


@dataclass(frozen=True, slots=True)
class LocalSpan:
    """A part of one business day in which the clock has one offset. All times are UTC seconds."""

    since: int
    until: int
    day: str
    """The business day, such as 2026-11-26."""
    day_since: int
    day_until: int
    open_s: int
    """How long the site is open on that day."""
    offset_s: int
    """How far the site's clock is ahead of UTC."""
    offset_since: int
    """When the clock got this offset, if that was within the time that is written down."""
    offset_until: int


@dataclass(frozen=True, slots=True)
class SiteDays:
    """A site as it is written down."""

    name: str
    timezone: str
    spans: Sequence[LocalSpan]


class LocalDays(Protocol):
    """Where it is written down. Both methods raise StoreError."""

    def known_time(self) -> tuple[int, int] | None:
        """From which to which minute something is counted; None where there is nothing."""
        ...

    def write(
        self,
        sites: Mapping[str, SiteDays],
        cameras: Mapping[str, str],
        lease: "LeaseProof | None" = None,
    ) -> None:
        """Replace what is written down by these sites, and the site of each of these cameras.

        Cameras that are no longer in the file keep the site they had, while that is there. Raises
        OwnershipLostError where `lease` was lost.
        """
        ...


def local_spans(hours: OpeningHours, since: float, until: float) -> Iterator[LocalSpan]:
    """The days of a site that hold a time, cut where its clock changes."""
    cuts = list(_offsets(hours.timezone, since - _AROUND_S, until + _AROUND_S))
    day = hours.day_of(since)
    while (begins := hours.begins(day)) < until:
        ends = hours.begins(day + timedelta(days=1))
        open_s = int(hours.open_seconds(begins, ends))
        for offset_since, offset_until, offset_s in cuts:
            first, last = max(int(begins), offset_since), min(int(ends), offset_until)
            if first < last:
                yield LocalSpan(
                    since=first,
                    until=last,
                    day=day.isoformat(),
                    day_since=int(begins),
                    day_until=int(ends),
                    open_s=open_s,
                    offset_s=offset_s,
                    offset_since=offset_since,
                    offset_until=offset_until,
                )
        day += timedelta(days=1)


def _offsets(timezone: str, since: float, until: float) -> Iterator[tuple[int, int, int]]:
    """The offsets of a clock one after the other: since, until, seconds ahead of UTC."""
    zone = ZoneInfo(timezone)

    def offset(at: int) -> int:
        return int((datetime.fromtimestamp(at, zone).utcoffset() or timedelta()).total_seconds())

    begins = at = int(since // BUCKET_S * BUCKET_S)
    while at < until:
        following = at + 86_400
        if offset(following) != offset(at):
            low, high = at, following  # the change is after one and not after the other
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(at) else (low, middle)
            yield begins, high, offset(at)
            begins = high
        at = following
    yield begins, at, offset(at - 1)
