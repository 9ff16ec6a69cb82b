"""Who came in of those who passed by outside, over time: the capture rate, as reports have it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from pipeline.core.measures import Bucket
from pipeline.core.store import History
from pipeline.deployment.capturing import (
    ENTERED,
    CaptureRules,
    capture_rules,
    passing_measures,
    site_called,
)
from pipeline.deployment.model import Deployment
from pipeline.reports.export import rounded
from pipeline.reports.figures import CaptureFigures, OpenSpan
from pipeline.reports.steps import TimeStep
from pipeline.web.access.visitor import Visitor
from pipeline.web.numbers.choosing import RuleName
from pipeline.web.numbers.open_steps import begun_steps, counted, least_known, open_minutes_of
from pipeline.web.numbers.series import SeriesWish

WhyNoRate = Literal["unknown", "nobody_passed", "closed"]


class SiteCapture(BaseModel):
    """Who passed by and came in while a site was open, by step; None where it is not known."""

    site: str
    entered_by: list[str]
    """The rules that count who came in, as CAMERA/RULE."""
    passed_by: list[str]
    """The rules that count who passed by outside."""
    entered: list[float | None]
    passed: list[float | None]
    rate: list[float | None]
    """The one by the other; None where too little is known, or nobody passed by."""
    known: list[float | None]
    """The share of a step's opening time that is known, of the rule of which the least is;
    None where the site is closed."""
    total_entered: float | None
    total_passed: float | None
    total_rate: float | None
    total_known: float
    why_no_rate: WhyNoRate | None
    """Why there is no rate of all of it."""


def sites_captured(
    deployment: Deployment,
    history: History,
    visitor: Visitor,
    wish: SeriesWish,
    now: float,
) -> list[SiteCapture]:
    """Of the sites with a capture rate of which a rule is chosen; raises StoreError.

    A visitor who does not see all of its cameras is not told the rate.
    """
    found = []
    for site in (None, *deployment.sites):
        rules = capture_rules(deployment, site)
        if rules is None:
            continue
        both = {RuleName(*one) for one in (*rules.entered, *rules.passed)}
        if both & set(wish.rules) and all(visitor.sees(one.camera) for one in both):
            found.append(_site_captured(deployment, history, site, rules, wish, now))
    return found


def _site_captured(
    deployment: Deployment,
    history: History,
    site: str | None,
    rules: CaptureRules,
    wish: SeriesWish,
    now: float,
) -> SiteCapture:
    place = site_called(deployment, site)
    grid = begun_steps(place, wish, now)
    since, until = (grid[0].since, grid[-1].until) if grid else (now, now)
    opened = OpenSpan.of(place.opening_hours, since, until)
    both = [*rules.entered, *rules.passed]
    read = open_minutes_of(history, both, opened, grid)
    measures = [(ENTERED,)] * len(rules.entered) + [
        passing_measures(deployment.cameras[camera].rules[name]) for camera, name in rules.passed
    ]
    doors = len(rules.entered)

    def figures_of(step: TimeStep, parts: Sequence[Sequence[Bucket]]) -> CaptureFigures:
        values = [counted(part, names) for part, names in zip(parts, measures, strict=True)]
        return CaptureFigures.of(values[:doors], values[doors:], least_known(opened, step, parts))

    found = [
        figures_of(step, [one.by_step[index] for one in read]) for index, step in enumerate(grid)
    ]
    total = figures_of(TimeStep(since, until), [one.whole for one in read])
    return SiteCapture(
        site=place.name,
        entered_by=["/".join(one) for one in rules.entered],
        passed_by=["/".join(one) for one in rules.passed],
        entered=[rounded(one.entered) for one in found],
        passed=[rounded(one.passed) for one in found],
        rate=[one.rate for one in found],
        known=[one.known for one in found],
        total_entered=rounded(total.entered),
        total_passed=rounded(total.passed),
        total_rate=total.rate,
        total_known=total.known or 0.0,
        why_no_rate=_why_none(total),
    )


def _why_none(total: CaptureFigures) -> WhyNoRate | None:
    if total.rate is not None:
        return None
    if total.is_without_passers:
        return "nobody_passed"
    return "closed" if total.known is None else "unknown"
