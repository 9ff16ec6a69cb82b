"""How long people stay in a store, estimated from its doors by Little's law.

The mean time that somebody is inside is the mean number of people inside over the rate at which
they come in (J. D. C. Little, "A Proof for the Queuing Formula: L = λW", 1961); nobody has to be
followed for it. Who is inside follows from those who came in and went out since the day began, with
nobody inside, and until it ends, with nobody inside again. What does not add up in the evening was
missed, or counted twice, at some time of the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_DRIFT = 0.2
"""A day on which a larger share of those who came in is not accounted for says nothing, and so does
one whose bounds are further apart than the estimate is large."""


@dataclass(frozen=True, slots=True)
class StoreDay:
    """One day of a store: those who came in, and the time that all of them together stayed."""

    came_in: float
    spent_s: float
    """By the estimate: what does not add up was missed in proportion to who passed the doors."""
    least_s: float
    """The same if all of it was missed at the worst moment on the one side,"""
    most_s: float
    """and on the other."""


@dataclass(frozen=True, slots=True)
class TimeInStore:
    """The mean time in a store, over the days of which it is known."""

    days: int = 0
    mean_s: float | None = None
    least_s: float | None = None
    most_s: float | None = None
    by_day: tuple[float | None, ...] = ()


def store_day(came_in: Mapping[int, float], went_out: Mapping[int, float]) -> StoreDay | None:
    """A whole day, from what all doors counted by minute; None where it does not add up."""
    minutes = sorted(came_in.keys() | went_out.keys())
    entered, left = sum(came_in.values()), sum(went_out.values())
    drift = entered - left
    if not entered or abs(drift) > MOST_DRIFT * entered:
        return None
    passed = entered + left
    early = late = shared = 0.0
    inside = gone_by = 0.0
    for at, following in pairwise(minutes):
        # Within a minute the crossings lie in its middle on average, as do those of the next one.
        inside += came_in.get(at, 0.0) - went_out.get(at, 0.0)
        gone_by += came_in.get(at, 0.0) + went_out.get(at, 0.0)
        lasting = following - at
        late += inside * lasting
        early += (inside - drift) * lasting
        shared += (inside - drift * gone_by / passed) * lasting
    least, most = max(0.0, min(early, late, shared)), max(early, late, shared)
    if shared <= 0 or most - least > shared:
        return None
    return StoreDay(entered, shared, least, most)


def time_in_store(days: Sequence[StoreDay | None]) -> TimeInStore:
    """The mean over days, each as heavy as those who came in on it."""
    known = [day for day in days if day is not None]
    by_day = tuple(None if day is None else day.spent_s / day.came_in for day in days)
    entered = sum(day.came_in for day in known)
    if not entered:
        return TimeInStore(by_day=by_day)
    return TimeInStore(
        days=len(known),
        mean_s=sum(day.spent_s for day in known) / entered,
        least_s=sum(day.least_s for day in known) / entered,
        most_s=sum(day.most_s for day in known) / entered,
        by_day=by_day,
    )


def by_minute(doors: Iterable[Iterable[tuple[int, float | None]]]) -> dict[int, float]:
    """What several doors counted, summed by minute."""
    found: dict[int, float] = {}
    for door in doors:
        for minute, value in door:
            if value:
                found[minute] = found.get(minute, 0.0) + value
    return found
