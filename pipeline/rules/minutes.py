"""Minute buckets of one rule: what was counted in them, and how much of them is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.measures import BUCKET_S, Bucket, minute_of
from pipeline.rules.context import RuleContext

Measure = Literal["crossings", "level"]

STANDS_FOR = 2.0
"""A sample speaks for at most this many sampling intervals after it: one lost frame leaves no
hole, two do."""
LEAST_REACH_S = 0.5
"""Where every picture is used the interval is unknown; half a second bridges 2 pictures a second
and more."""
KEPT_MINUTES = 3
"""Minutes that stay open for what is recognised late; trackers confirm within seconds."""


@dataclass(slots=True)
class Minute:
    """What is known of one minute so far."""

    samples: int = 0
    covered_s: float = 0.0
    area: float = 0.0
    """Level × seconds, over the covered time."""
    total: int = 0
    """Sum of the sampled levels."""
    maximum: int | None = None
    entered: int = 0
    left: int = 0
    written: bool = False


@dataclass(slots=True)
class MinutesMemory:
    """The open minutes, and the last sample, which speaks for the time after it."""

    minutes: dict[int, Minute] = field(default_factory=dict)
    sampled_at: float | None = None
    level: int = 0


class Minutes:
    """Collects samples and counts into minutes, and hands each minute out once it is over.

    A minute that is added to later is handed out again; the store replaces it.
    """

    def __init__(self, context: RuleContext, measure: Measure) -> None:
        self.memory = MinutesMemory()
        self._camera = context.camera
        self._rule = context.rule
        self._measure = measure
        self._reach_s = max(STANDS_FOR * context.every_s, LEAST_REACH_S)

    def sample(self, at: float, level: int | None = 0) -> None:
        """One look at `at`; `level` None where nothing is known from it."""
        self._cover_until(at)
        minute = self._minute(at)
        self.memory.sampled_at = None if level is None else at
        if level is None:
            return
        self.memory.level = level
        minute.samples += 1
        minute.total += level
        minute.maximum = level if minute.maximum is None else max(minute.maximum, level)
        minute.written = False

    def count(self, at: float, *, entered: int = 0, left: int = 0) -> None:
        """Something was counted at `at`, which may lie a little back."""
        minute = self._minute(at)
        minute.entered += entered
        minute.left += left
        minute.written = False

    def closed(self, at: float) -> tuple[Bucket, ...]:
        """The minutes that are over at `at` and not handed out yet, oldest first."""
        return tuple(self._closed(minute_of(at)))

    def finish(self, at: float) -> tuple[Bucket, ...]:
        """All that is left, at the end of the stream.

        The minutes stay open: a stream that goes on within the same one adds to it.
        """
        self._cover_until(at)
        self.memory.sampled_at = None
        return tuple(self._closed(minute_of(at) + int(BUCKET_S)))

    def _closed(self, now: int) -> Iterator[Bucket]:
        minutes = self.memory.minutes
        for start in sorted(minutes):
            if start < now and not minutes[start].written:
                minutes[start].written = True
                yield self._bucket(start, minutes[start])
            if start < now - KEPT_MINUTES * BUCKET_S:
                del minutes[start]

    def _minute(self, at: float) -> Minute:
        minutes = self.memory.minutes
        start = minute_of(at)
        if start not in minutes and minutes and start < min(minutes):
            start = min(minutes)  # too late for its own minute, which was handed out and let go
        return minutes.setdefault(start, Minute())

    def _cover_until(self, at: float) -> None:
        """Spread the last sample over the time it stands for, minute by minute."""
        sampled_at = self.memory.sampled_at
        if sampled_at is None:
            return
        end = min(at, sampled_at + self._reach_s)
        start = sampled_at
        while start < end:
            stop = min(end, minute_of(start) + BUCKET_S)
            minute = self._minute(start)
            minute.covered_s += stop - start
            minute.area += (stop - start) * self.memory.level
            minute.maximum = max(self.memory.level, minute.maximum or 0)
            minute.written = False
            start = stop

    def _bucket(self, start: int, minute: Minute) -> Bucket:
        counts, levels = self._measure == "crossings", self._measure == "level"
        known = minute.samples > 0 or minute.covered_s > 0 or minute.entered + minute.left > 0
        return Bucket(
            camera=self._camera,
            rule=self._rule,
            minute=start,
            samples=minute.samples,
            coverage=min(1.0, round(minute.covered_s / BUCKET_S, 6)),
            entered=minute.entered if counts and known else None,
            left=minute.left if counts and known else None,
            mean=_mean(minute) if levels else None,
            maximum=minute.maximum if levels else None,
        )


def _mean(minute: Minute) -> float | None:
    """Weighted by time; by samples where a minute holds no covered time."""
    if minute.covered_s > 0:
        return round(minute.area / minute.covered_s, 6)
    return round(minute.total / minute.samples, 6) if minute.samples else None
