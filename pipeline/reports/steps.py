"""Periods in steps of the site's time, and what a rule measured in each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.opening_hours import OpeningHours
from pipeline.core.store import History, Span
from pipeline.rules.measures import Measure

STEPS: Mapping[str, int] = {"1m": 60, "15m": 900, "1h": 3600, "1d": 86_400, "1w": 604_800}
"""Lengths of a step by the words an operator writes; a day is a business day of the site, and a
week is seven of them, from Monday."""
_DAYS: Mapping[str, int] = {"1d": 1, "1w": 7}
_READ_AT_ONCE_S = 86_400


@dataclass(frozen=True, slots=True)
class TimeStep:
    """A part of a period, in UTC seconds."""

    since: float
    until: float

    @property
    def minutes(self) -> float:
        """How long it is."""
        return (self.until - self.since) / BUCKET_S


@dataclass(frozen=True, slots=True)
class StepMeasures:
    """What one rule measured in a step."""

    step: TimeStep
    minutes: Sequence[Bucket]

    @property
    def minutes_known(self) -> float:
        """Minutes of the step in which it is known what there was."""
        return sum(minute.coverage for minute in self.minutes)

    @property
    def coverage(self) -> float:
        """The share of the step that is known."""
        return min(1.0, self.minutes_known / self.step.minutes)

    def value(self, measure: Measure) -> float | None:
        """The measure over the step; None where no minute knows it."""
        return measure.of(self.minutes)


def steps(hours: OpeningHours, name: str, since: float, until: float) -> Iterator[TimeStep]:
    """The whole steps that hold a period; their borders are those of the site's clock."""
    if name in _DAYS:
        day = hours.day_of(since)
        day -= timedelta(days=day.weekday() % _DAYS[name])
        while (begins := hours.begins(day)) < until:
            day += timedelta(days=_DAYS[name])
            yield TimeStep(begins, hours.begins(day))
        return
    length, zone = STEPS[name], ZoneInfo(hours.timezone)
    at = _floor(since, length, zone)
    while at < until:
        end = at + length - (at + _offset(at, zone)) % length
        if _offset(end - BUCKET_S, zone) != _offset(at, zone):
            # Where the clocks change within a step, another one begins.
            end = at + BUCKET_S
            while _offset(end, zone) == _offset(at, zone):
                end += BUCKET_S
        yield TimeStep(at, end)
        at = end


def cut_steps(hours: OpeningHours, name: str, since: float, until: float) -> Iterator[TimeStep]:
    """The same, but the first and the last are cut off at the borders of the period."""
    for step in steps(hours, name, since, until):
        yield TimeStep(max(since, step.since), min(until, step.until))


def _floor(at: float, length: int, zone: ZoneInfo) -> float:
    """When the step begins that holds a moment; it does not reach back over a change of clocks."""
    begins = at - (at + _offset(at, zone)) % length
    while _offset(begins, zone) != _offset(at, zone):
        begins += BUCKET_S
    return begins


def _offset(at: float, zone: ZoneInfo) -> float:
    return (datetime.fromtimestamp(at, zone).utcoffset() or timedelta()).total_seconds()


def minutes_of(
    history: History, camera: str, rule: str, since: float, until: float
) -> Iterator[Bucket]:
    """A rule's minutes in order of time, read a day at a time; raises StoreError."""
    at = since
    while at < until:
        end = min(until, at + _READ_AT_ONCE_S)
        yield from history.buckets(camera, rule, Span(at, end))
        at = end


def measured(minutes: Iterator[Bucket], into: Iterator[TimeStep]) -> Iterator[StepMeasures]:
    """The minutes of a rule by step, those without any included."""
    ahead = next(minutes, None)
    for step in into:
        inside = []
        while ahead is not None and ahead.minute < step.until:
            if ahead.minute >= step.since:
                inside.append(ahead)
            ahead = next(minutes, None)
        yield StepMeasures(step, inside)
