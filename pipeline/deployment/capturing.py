"""Which rules of a site count who comes in, and which who passes by outside."""

from dataclasses import dataclass
from typing import Final

from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.rules.base import RuleBase

ENTERED: Final = "entered"
LEFT: Final = "left"
_CROSSINGS, _VISITS = "crossings", "visits"
Place = tuple[str, str]
"""A rule: its camera's name and its own."""


@dataclass(frozen=True, slots=True)
class CaptureRules:
    """The two sides of a capture rate; none of them is empty."""

    entered: tuple[Place, ...]
    passed: tuple[Place, ...]


def is_door(rule: RuleBase) -> bool:
    """Whether a rule counts people in and out over a line."""
    measures = {one.name: one.unit for one in rule.recorded()}
    return measures.get(ENTERED) == _CROSSINGS and LEFT in measures


def passing_measures(rule: RuleBase) -> tuple[str, ...]:
    """What of a rule adds up to who passed by; nothing where it counts nobody who does."""
    if is_door(rule):
        return (ENTERED, LEFT)
    measures = {one.name: one.unit for one in rule.recorded()}
    return (ENTERED,) if measures.get(ENTERED) == _VISITS else ()


def site_called(deployment: Deployment, site: str | None) -> SiteConfig:
    """One of the file's `sites`, or its own for None."""
    return deployment.site if site is None else deployment.sites[site]


def passing_rules(place: SiteConfig) -> frozenset[Place]:
    """Those that count who passes by outside, which are no doors."""
    return frozenset(map(_place, place.capture.passed)) if place.capture else frozenset()


def doors_of(deployment: Deployment, site: str | None) -> list[Place]:
    """The rules of a site that count who came in through a door."""
    outside = passing_rules(site_called(deployment, site))
    return [
        (camera, name)
        for camera, config in deployment.cameras.items()
        for name, rule in (config.rules.items() if config.site == site else ())
        if is_door(rule) and (camera, name) not in outside
    ]


def capture_rules(deployment: Deployment, site: str | None) -> CaptureRules | None:
    """Both sides of a site's capture rate; None where it has none, or a door is missing."""
    capture = site_called(deployment, site).capture
    if capture is None:
        return None
    entered = tuple(map(_place, capture.entered)) or tuple(doors_of(deployment, site))
    return CaptureRules(entered, tuple(map(_place, capture.passed))) if entered else None


def with_named_doors(deployment: Deployment, site: str | None) -> SiteConfig:
    """A site whose capture rate names its doors: where one is taken away, it is not known."""
    place, rules = site_called(deployment, site), capture_rules(deployment, site)
    if place.capture is None or rules is None:
        return place
    named = tuple("/".join(one) for one in rules.entered)
    capture = place.capture.model_copy(update={"entered": named})
    return place.model_copy(update={"capture": capture})


def _place(name: str) -> Place:
    camera, _, rule = name.partition("/")
    return camera, rule
