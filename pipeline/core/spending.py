"""How much of a budget is spent: counts by the hour and the day, kept where workers share them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from pipeline.core.ranges import nearest_moment

Period = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most so many of something until a moment."""

    period: Period
    most: int
    begins_at: float
    """The start of the hour or day at the site, in UTC seconds: what counts as one period."""
    ends_at: float
    of: str = "pictures"
    """What is counted: pictures or requests."""


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """What was spent of an allowance."""

    allowance: Allowance
    used: int

    @property
    def left(self) -> int:
        """How many are left of it."""
        return max(0, self.allowance.most - self.used)


class Spending(Protocol):
    """Counts what engines have spent. All methods raise QueueError or StoreError when the place
    where it is kept is out of reach.
    """

    def spend(self, who: str, amount: int, allowances: Sequence[Allowance]) -> Allowance | None:
        """Spend from all of these at once, or from none of them.

        Returns the one that does not have so much left, the longest if several, or None when it
        was spent.
        """
        ...

    def spent(self, who: str, allowances: Sequence[Allowance]) -> Sequence[BudgetSpent]:
        """How much of each of these was spent."""
        ...


class SpendingHere:
    """Counts in this process alone, for engines that no deployment has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[tuple[str, Period], tuple[float, int]] = {}

    def spend(self, who: str, amount: int, allowances: Sequence[Allowance]) -> Allowance | None:
        """Spend from all of these at once, or from none; returns the one that has too little."""
        with self._lock:
            used = {one: self._used_of(who, one) for one in allowances}
            short = [one for one in allowances if used[one] + amount > one.most]
            if short:
                return max(short, key=lambda one: one.ends_at)
            for one in allowances:
                self._used[who, one.period] = (one.begins_at, used[one] + amount)
            return None

    def spent(self, who: str, allowances: Sequence[Allowance]) -> Sequence[BudgetSpent]:
        """How much of each of these was spent."""
        with self._lock:
            return [BudgetSpent(one, self._used_of(who, one)) for one in allowances]

    def _used_of(self, who: str, allowance: Allowance) -> int:
        begins_at, used = self._used.get((who, allowance.period), (0.0, 0))
        return used if begins_at == allowance.begins_at else 0


def allowance(
    period: Period, most: int, now: float, timezone: str, of: str = "pictures"
) -> Allowance:
    """The allowance of the hour or day at the site that contains `now`, in UTC seconds.

    A day is the site's calendar day: 23 or 25 hours where the clocks change.
    """
    zone = ZoneInfo(timezone)
    here = datetime.fromtimestamp(nearest_moment(now), zone)
    if period == "hour":
        past_hour_s = here.minute * 60 + here.second + here.microsecond / 1e6
        begins_at = float(round(here.timestamp() - past_hour_s))
        return Allowance(period, most, begins_at, begins_at + 3600.0, of)
    begins = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    tomorrow = (begins.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
    return Allowance(period, most, begins.timestamp(), tomorrow.timestamp(), of)
