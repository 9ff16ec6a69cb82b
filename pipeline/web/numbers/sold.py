"""What the till sold over time, against who came in: conversion, as reports have it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from pipeline.core.errors import MoonwatchError
from pipeline.core.measures import Bucket
from pipeline.core.store import History
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import rounded
from pipeline.reports.figures import ENOUGH, OpenSpan, SoldFigures, SoldIn, added
from pipeline.reports.sales import read_sales
from pipeline.reports.steps import TimeStep, measured, minutes_of
from pipeline.web.access.visitor import Visitor
from pipeline.web.numbers.choosing import RuleName
from pipeline.web.numbers.series import SeriesWish, steps_of

_IN, _OUT, _CROSSINGS = "entered", "left", "crossings"


class SiteSold(BaseModel):
    """What was sold while a site was open, by step; None where it is not known."""

    site: str
    problem: str | None
    """Why sales cannot be read; nothing else is known then."""
    doors: list[str]
    """The rules that count who came in, as CAMERA/RULE."""
    transactions: list[float | None]
    conversion: list[float | None]
    """Transactions by those who came in; None where too little of the doors is known."""
    known: list[float | None]
    """The share of a step's opening time that is known, of the door of which the least is;
    None where the site is closed."""
    total_transactions: float | None
    total_amount: float | None
    total_conversion: float | None
    total_known: float


@dataclass(frozen=True, slots=True)
class _Door:
    """A rule that counts people in and out, with its minutes of opening time."""

    by_step: Sequence[Sequence[Bucket]]
    minutes: Sequence[Bucket]


def sites_sold(
    deployment: Deployment,
    history: History,
    visitor: Visitor,
    wish: SeriesWish,
    now: float,
) -> list[SiteSold]:
    """What the sites of these rules sold whose doors are among them; raises StoreError.

    A visitor who does not see all cameras is told nothing: the till has what all doors let in.
    """
    if visitor.cameras is not None:
        return []
    found = []
    for name in (None, *deployment.sites):
        place = deployment.site if name is None else deployment.sites[name]
        doors = _doors(deployment, name)
        if place.sales is not None and any(one in wish.rules for one in doors):
            found.append(_site_sold(place, history, doors, wish, now))
    return found


def _doors(deployment: Deployment, site: str | None) -> list[RuleName]:
    found = []
    for camera, config in deployment.cameras.items():
        for name, rule in config.rules.items() if config.site == site else ():
            measures = {one.name: one.unit for one in rule.recorded()}
            if measures.get(_IN) == _CROSSINGS and _OUT in measures:
                found.append(RuleName(camera, name))
    return found


def _site_sold(
    place: SiteConfig,
    history: History,
    doors: Collection[RuleName],
    wish: SeriesWish,
    now: float,
) -> SiteSold:
    grid = [
        TimeStep(step.since, min(step.until, now))
        for step in steps_of(place, wish)
        if step.since < now
    ]
    names = [f"{one.camera}/{one.rule}" for one in doors]
    nothing = SiteSold(
        site=place.name,
        problem=None,
        doors=names,
        transactions=[],
        conversion=[],
        known=[],
        total_transactions=None,
        total_amount=None,
        total_conversion=None,
        total_known=0.0,
    )
    if not grid or place.sales is None:
        return nothing
    try:
        sold = SoldIn(read_sales(place.sales, place.timezone), place.opening_hours)
    except MoonwatchError as error:
        said = str(error).replace(str(place.sales), place.sales.name)
        return nothing.model_copy(update={"problem": said})
    since, until = grid[0].since, grid[-1].until
    opened = OpenSpan.of(place.opening_hours, since, until)
    read = []
    for one in doors:
        minutes = [
            minute
            for minute in minutes_of(history, one.camera, one.rule, since, until)
            if opened.is_open(minute.minute)
        ]
        by_step = [step.minutes for step in measured(iter(minutes), iter(grid))]
        read.append(_Door(by_step, minutes))

    def figures_of(
        step: TimeStep, parts: Sequence[Sequence[Bucket]]
    ) -> tuple[SoldFigures, float | None]:
        minutes = opened.open_minutes_between(step.since, step.until)
        if not minutes:
            return SoldFigures(None, None, None), None
        known = min(min(1.0, sum(m.coverage for m in part) / minutes) for part in parts)
        came_in = added(_entered(part) for part in parts) if known >= ENOUGH else None
        return sold.between(opened, step.since, step.until, came_in), known

    found = [
        figures_of(step, [door.by_step[index] for door in read]) for index, step in enumerate(grid)
    ]
    total, known = figures_of(TimeStep(since, until), [door.minutes for door in read])
    return nothing.model_copy(
        update={
            "transactions": [rounded(one.transactions) for one, _ in found],
            "conversion": [one.conversion for one, _ in found],
            "known": [share for _, share in found],
            "total_transactions": rounded(total.transactions),
            "total_amount": rounded(total.amount),
            "total_conversion": total.conversion,
            "total_known": known or 0.0,
        }
    )


def _entered(minutes: Sequence[Bucket]) -> float | None:
    values = [value for one in minutes if (value := one.values.get(_IN)) is not None]
    return sum(values) if values else None
