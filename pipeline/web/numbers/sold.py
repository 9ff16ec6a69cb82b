"""What the till sold over time, against who came in: conversion, as reports have it."""

from collections.abc import Collection, Sequence

from pydantic import BaseModel

from pipeline.core.errors import MoonwatchError
from pipeline.core.measures import Bucket
from pipeline.core.store import History
from pipeline.deployment.capturing import ENTERED, Place, doors_of, site_called
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.reports.export import rounded
from pipeline.reports.figures import ENOUGH, OpenSpan, SoldFigures, SoldIn, added
from pipeline.reports.sales import read_sales
from pipeline.reports.steps import TimeStep
from pipeline.web.access.visitor import Visitor
from pipeline.web.numbers.choosing import RuleName
from pipeline.web.numbers.open_steps import begun_steps, counted, least_known, open_minutes_of
from pipeline.web.numbers.series import SeriesWish


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
        place, doors = site_called(deployment, name), doors_of(deployment, name)
        if place.sales is not None and any(RuleName(*one) in wish.rules for one in doors):
            found.append(_site_sold(place, history, doors, wish, now))
    return found


def _site_sold(
    place: SiteConfig,
    history: History,
    doors: Collection[Place],
    wish: SeriesWish,
    now: float,
) -> SiteSold:
    grid = begun_steps(place, wish, now)
    names = ["/".join(one) for one in doors]
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
    read = open_minutes_of(history, doors, opened, grid)

    def figures_of(
        step: TimeStep, parts: Sequence[Sequence[Bucket]]
    ) -> tuple[SoldFigures, float | None]:
        known = least_known(opened, step, parts)
        if known is None:
            return SoldFigures(None, None, None), None
        came_in = added(counted(part, (ENTERED,)) for part in parts) if known >= ENOUGH else None
        return sold.between(opened, step.since, step.until, came_in), known

    found = [
        figures_of(step, [door.by_step[index] for door in read]) for index, step in enumerate(grid)
    ]
    total, known = figures_of(TimeStep(since, until), [door.whole for door in read])
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
