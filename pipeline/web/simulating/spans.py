"""For which times it can be said what an edit would have counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipeline.core.measures import BUCKET_S
from pipeline.core.observations import ObservedSpan
from pipeline.core.opening_hours import OpeningHours

LONGEST_S = 25 * 3600.0
"""A day, also the one on which clocks are set back."""
_DAYS_BACK = 14


@dataclass(frozen=True, slots=True)
class ObservedDay:
    """The opening hours of a day for which something was seen."""

    day: str
    """YYYY-MM-DD at the site."""
    since: float
    until: float


def observed_days(
    observed: Sequence[ObservedSpan], camera: str, hours: OpeningHours
) -> list[ObservedDay]:
    """The days for which something is kept of a camera, cut to that; the newest first."""
    mine = [span for span in observed if span.camera == camera]
    if not mine:
        return []
    first = float(min(span.first for span in mine))
    last = max(span.last for span in mine) + BUCKET_S
    found: list[ObservedDay] = []
    newest = hours.day_of(last - 1)
    for back in range(_DAYS_BACK):
        day = newest - timedelta(days=back)
        openings = list(hours.openings(day))
        since = max(first, openings[0].since if openings else hours.begins(day))
        until = min(last, openings[-1].until if openings else hours.begins(day + timedelta(days=1)))
        if until > since:
            found.append(ObservedDay(day.isoformat(), since, min(until, since + LONGEST_S)))
        if hours.begins(day) <= first:
            break
    return found
