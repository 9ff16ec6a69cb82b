"""What rules counted while a site was open, by step and altogether."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipeline.core.measures import Bucket
from pipeline.core.store import History
from pipeline.deployment.capturing import Place
from pipeline.deployment.model import SiteConfig
from pipeline.reports.figures import OpenSpan, added
from pipeline.reports.steps import TimeStep, measured, minutes_of
from pipeline.web.numbers.series import SeriesWish, steps_of


@dataclass(frozen=True, slots=True)
class OpenMinutes:
    """The minutes of opening time of a rule."""

    by_step: Sequence[Sequence[Bucket]]
    whole: Sequence[Bucket]


def begun_steps(place: SiteConfig, wish: SeriesWish, now: float) -> list[TimeStep]:
    """The steps of a site's clock that have begun; the last one as far as time has come."""
    return [
        TimeStep(step.since, min(step.until, now))
        for step in steps_of(place, wish)
        if step.since < now
    ]


def open_minutes_of(
    history: History, rules: Iterable[Place], opened: OpenSpan, grid: Sequence[TimeStep]
) -> list[OpenMinutes]:
    """Those of each rule; raises StoreError."""
    read = []
    for camera, rule in rules:
        minutes = [
            minute
            for minute in minutes_of(history, camera, rule, opened.since, opened.until)
            if opened.is_open(minute.minute)
        ]
        by_step = [step.minutes for step in measured(iter(minutes), iter(grid))]
        read.append(OpenMinutes(by_step, minutes))
    return read


def least_known(
    opened: OpenSpan, step: TimeStep, parts: Collection[Sequence[Bucket]]
) -> float | None:
    """The share of a step's opening time that is known, of the rule of which the least is.

    None where the site is closed.
    """
    minutes = opened.open_minutes_between(step.since, step.until)
    if not minutes:
        return None
    return min(min(1.0, sum(one.coverage for one in part) / minutes) for part in parts)


def counted(minutes: Sequence[Bucket], measures: Iterable[str]) -> float | None:
    """A sum over measures that add up; None where one is not known."""
    return added(_sum(minutes, name) for name in measures)


def _sum(minutes: Sequence[Bucket], name: str) -> float | None:
    values = [value for one in minutes if (value := one.values.get(name)) is not None]
    return sum(values) if values else None
