"""The minute buckets of one rule: what was counted in them, and how much of them is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.core.measures import BUCKET_S, Bucket, minute_of
from pipeline.core.rules import Ending
from pipeline.rules.context import RuleContext
from pipeline.rules.measures import Measure

STANDS_FOR = 2.0
"""A sample covers at most this many sampling intervals after it: one lost frame leaves no gap, two
do."""
LEAST_REACH_S = 0.5
"""Where every picture is used, the interval is unknown; half a second suits 2 or more pictures per
second."""
RECENT_S = 5.0
"""How far back a level can be amended: longer than trackers take to confirm or to find again."""
KEPT_MINUTES = 3
"""How many minutes stay open for late results; trackers confirm within seconds."""


@dataclass(slots=True)
class Minute:
    """What is known of one minute so far."""

    samples: int = 0
    covered_s: float = 0.0
    area: float = 0.0
    """Level × seconds, over the covered time."""
    total: int | float = 0
    """Sum of the sampled levels."""
    maximum: int | float | None = None
    minimum: int | float | None = None
    last: int | float | None = None
    counts: dict[str, int | float] = field(default_factory=dict)
    """What was counted, by the names of the measures."""
    written: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_counts(cls, state: Any) -> Any:
        """States of earlier releases keep counts of lines and visits next to the other fields."""
        if isinstance(state, dict) and "counts" not in state:
            counts = {name: state[name] for name in ("entered", "left") if state.get(name)}
            return {**state, "counts": counts}
        return state

    def reach(self, level: float) -> None:
        """Add one sample of the level."""
        # Asked for every rule and look, so that calls of `max` and `min` would be felt.
        if self.maximum is None or level > self.maximum:
            self.maximum = level
        if self.minimum is None or level < self.minimum:
            self.minimum = level
        self.last = level


@dataclass(slots=True)
class MinutesMemory:
    """The open minutes, and the last sample, which covers the time after it."""

    version: ClassVar[int] = 1
    minutes: dict[int, Minute] = field(default_factory=dict)
    sampled_at: float | None = None
    level: int | float = 0
    recent: list[tuple[float, float, float]] = field(default_factory=list)
    """(from, until, level) of the last seconds, as far as they are covered."""


class Minutes:
    """Collects samples and counts into minutes, and returns each minute once it is over.

    A minute that changes later is returned again; the store replaces it. The measures define what a
    minute holds: a sum adds what was counted under the measure's name, all others aggregate the
    sampled level.
    """

    def __init__(self, context: RuleContext, measures: Sequence[Measure], beside: str = "") -> None:
        """`beside` is how the names of further counts begin, which a minute holds where not 0."""
        self.memory = MinutesMemory()
        self._camera = context.camera
        self._rule = context.rule
        self._measures = tuple(measures)
        self._beside = beside
        self._reach_s = max(STANDS_FOR * context.every_s, LEAST_REACH_S)
        # Nearly every sample is in the minute of the one before, whose minute is kept at hand.
        self._of: MinutesMemory | None = None
        self._minute_now = Minute()
        self._begins, self._ends = 0.0, 0.0
        self._is_settled = False
        """Nothing before that minute is to be returned or forgotten."""

    def sample(self, at: float, level: float | None = 0) -> None:
        """Add the sample of `at`; `level` is None where it is unknown."""
        memory, sampled_at = self.memory, self.memory.sampled_at
        if (
            level is not None
            and sampled_at is not None
            and self._begins <= sampled_at < at < self._ends
            and memory is self._of
        ):
            minute = self._minute_now
            reached = sampled_at + self._reach_s
            self._cover(minute, sampled_at, at if at < reached else reached, at)
        else:
            self._cover_until(at)
            minute = self._minute(at)
            self._keep_at_hand(at, minute)
        memory.sampled_at = None if level is None else at
        if level is None:
            return
        memory.level = level
        minute.samples += 1
        minute.total += level
        minute.reach(level)
        minute.written = False

    def amend(self, since: float, more: int) -> None:
        """From `since` to the last sample the level was higher by `more`, as turns out now.

        Only the covered time of the last RECENT_S can be amended. A maximum is never lowered: so
        many were counted at the time.
        """
        self._is_settled = False
        recent = []
        for start, end, level in self.memory.recent:
            begin = min(max(start, since), end)
            if start < begin:
                recent.append((start, begin, level))
            if begin == end:
                continue
            amended = max(0, level + more)
            recent.append((begin, end, amended))
            for minute, seconds in self._parts(begin, end):
                minute.area += seconds * (amended - level)
                if minute.maximum is not None:
                    minute.maximum = max(minute.maximum, amended)
                minute.written = False
        self.memory.recent = recent

    def count(self, at: float, **amounts: float) -> None:
        """Add counts by measure at `at`, which may be a little in the past."""
        self._is_settled = False
        minute = self._minute(at)
        for name, amount in amounts.items():
            minute.counts[name] = minute.counts.get(name, 0) + amount
        minute.written = False

    def top(self, at: float, name: str, value: float) -> None:
        """Add the value of something that happened to a measure that is the greatest of them."""
        self._is_settled = False
        minute = self._minute(at)
        minute.counts[name] = max(minute.counts.get(name, value), value)
        minute.written = False

    def closed(self, at: float) -> tuple[Bucket, ...]:
        """The minutes that are over at `at` and were not returned yet, oldest first."""
        is_at_hand = self._begins <= at < self._ends and self.memory is self._of
        if is_at_hand and self._is_settled:
            return ()  # as after nearly every look
        now = minute_of(at)
        forgotten = now - KEPT_MINUTES * BUCKET_S
        for start, minute in self.memory.minutes.items():
            if start < now and (not minute.written or start < forgotten):
                return tuple(self._closed(now))
        self._is_settled = is_at_hand
        return ()

    def unfinished(self) -> tuple[Bucket, ...]:
        """What is known so far of the minutes that were not returned yet; nothing changes."""
        return tuple(
            self._bucket(start, minute, unfinished=True)
            for start, minute in sorted(self.memory.minutes.items())
            if not minute.written
        )

    def finish(self, at: float, why: Ending = "stream ended") -> tuple[Bucket, ...]:
        """All remaining minutes, at the end of the stream or of the rule.

        The minutes stay open: a stream that continues within the same minute adds to it. After an
        edit, the last sample still covers the time after it.
        """
        self._cover_until(at)
        if why != "edited":
            self.memory.sampled_at = None
        return tuple(self._closed(minute_of(at) + int(BUCKET_S)))

    def inherit(self, earlier: MinutesMemory, at: float) -> None:
        """Continue the minutes that an earlier rule of this name left open; `at` is now."""
        self._of = None
        now = minute_of(at)
        self.memory.minutes = {s: minute for s, minute in earlier.minutes.items() if s <= now}
        known = earlier.sampled_at is not None and earlier.sampled_at <= at
        self.memory.sampled_at = earlier.sampled_at if known else None
        self.memory.level = earlier.level

    def _keep_at_hand(self, at: float, minute: Minute) -> None:
        begins = minute_of(at)
        is_own = self.memory.minutes.get(begins) is minute  # and not of one that was too late
        self._of = self.memory if is_own else None
        self._minute_now, self._is_settled = minute, False
        self._begins, self._ends = begins, begins + BUCKET_S

    def _closed(self, now: int) -> Iterator[Bucket]:
        self._of = None
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
            start = min(minutes)  # too late for its own minute, which was already closed
        if start not in minutes:
            minutes[start] = Minute()
        return minutes[start]

    def _cover_until(self, at: float) -> None:
        """Spread the last sample over the time it covers, minute by minute."""
        sampled_at = self.memory.sampled_at
        if sampled_at is None:
            return
        end = min(at, sampled_at + self._reach_s)
        if sampled_at < end <= minute_of(sampled_at) + BUCKET_S:
            self._cover(self._minute(sampled_at), sampled_at, end, at)
            return
        level = self.memory.level
        for minute, seconds in self._parts(sampled_at, end):
            minute.covered_s += seconds
            minute.area += seconds * level
            minute.reach(level)
            minute.written = False
        self._remember(sampled_at, end, at)

    def _cover(self, minute: Minute, sampled_at: float, end: float, at: float) -> None:
        """Let the last sample cover the time until `end`, all of it in this minute."""
        level, seconds = self.memory.level, end - sampled_at
        minute.covered_s += seconds
        minute.area += seconds * level
        minute.reach(level)
        minute.written = False
        self._remember(sampled_at, end, at)

    def _remember(self, sampled_at: float, end: float, at: float) -> None:
        """Keep, for a while, which level the last sample covered."""
        level, recent = self.memory.level, self.memory.recent
        if sampled_at < end:
            last = recent[-1] if recent else None
            if last is not None and last[1] == sampled_at and last[2] == level:
                recent[-1] = (last[0], end, level)
            else:
                recent.append((sampled_at, end, level))
        while recent and recent[0][1] <= at - RECENT_S:
            del recent[0]

    def _parts(self, start: float, end: float) -> Iterator[tuple[Minute, float]]:
        """The minutes of a time, and how much of it is in each."""
        while start < end:
            stop = min(end, minute_of(start) + BUCKET_S)
            yield self._minute(start), stop - start
            start = stop

    def _bucket(self, start: int, minute: Minute, *, unfinished: bool = False) -> Bucket:
        return Bucket(
            camera=self._camera,
            rule=self._rule,
            minute=start,
            samples=minute.samples,
            coverage=min(1.0, round(minute.covered_s / BUCKET_S, 6)),
            values={
                **{measure.name: _value(measure, minute) for measure in self._measures},
                **self._counts_beside(minute),
            },
            unfinished=unfinished,
        )

    def _counts_beside(self, minute: Minute) -> dict[str, float]:
        if not self._beside:
            return {}
        counts = sorted(minute.counts.items())
        return {name: round(n, 3) for name, n in counts if n and name.startswith(self._beside)}


def _value(measure: Measure, minute: Minute) -> float | None:
    match measure.over_time:
        case "sum":
            known = minute.samples > 0 or minute.covered_s > 0 or any(minute.counts.values())
            return minute.counts.get(measure.name, 0) if known else None
        case "mean":
            return _mean(minute)
        case "max":
            return minute.maximum if measure.sampled else minute.counts.get(measure.name)
        case "min":
            return minute.minimum
        case "last":
            return minute.last


def _mean(minute: Minute) -> float | None:
    """The mean weighted by time, or by samples where a minute has no covered time."""
    if minute.covered_s > 0:
        return round(minute.area / minute.covered_s, 6)
    return round(minute.total / minute.samples, 6) if minute.samples else None
