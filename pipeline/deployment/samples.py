"""Made-up events as a sink of a deployment gets them: its templates are tried on them."""

from collections.abc import Iterator

from pipeline.core.events import REPORT, Event, is_about_health
from pipeline.core.sinks import SinkContext, is_chosen
from pipeline.deployment.model import Deployment
from pipeline.rules.samples import (
    arming_sample,
    health_samples,
    report_sample,
    rule_samples,
    sequence_sample,
    switching_sample,
)

CAMERA_TYPES = (
    "camera_offline",
    "camera_frozen",
    "camera_black",
    "camera_clock",
    "camera_masked",
    "camera_unqueued",
    "camera_overloaded",
    "camera_unanswered",
    "camera_failing",
    "camera_unjudged",
    "camera_late",
)
"""The types of events about a camera's health; their rule is `camera`."""
SAMPLES_AT = 1_780_000_000.0
"""When they happen, unless another time is given: a day in 2026."""


def samples_for(deployment: Deployment, sink: str, at: float = SAMPLES_AT) -> Iterator[Event]:
    """An event of each kind that a sink can get, of rules first."""
    config = deployment.sinks[sink]
    for event in _all(deployment, sink, at):
        names = (event.rule, event.camera, event.type)
        health = config.health_phases if is_about_health(event) else None
        wanted = event.phase in (health or config.phases) and is_chosen(
            names, config.only, config.without
        )
        if event.type == REPORT or wanted:
            yield event


def sample_context(deployment: Deployment, sink: str) -> SinkContext:
    """What a sink is built with, without files, links and memory."""
    return SinkContext(
        deployment.site.name,
        deployment.site_names(),
        sink,
        deployment.site.timezone,
        timezones=deployment.site_timezones(),
    )


def _all(deployment: Deployment, sink: str, at: float) -> Iterator[Event]:
    for camera, config in deployment.cameras.items():
        for name, rule in config.rules.items():
            task = config.tasks.get(rule.of)
            asked = None if task is None else task.task(rule.of)
            yield from rule_samples(camera, name, rule, asked, at)
        for type_ in CAMERA_TYPES:
            yield from health_samples(camera, type_, at)
    for name in deployment.sequences:
        yield sequence_sample(name, next(iter(deployment.cameras)), at)
    for name in deployment.reports_to(sink):
        yield report_sample(name, deployment.site.name, at)
    # Whoever may arm and switch can do so at any time.
    yield arming_sample("", at)
    for camera, config in deployment.cameras.items():
        for name in list(config.rules)[:1]:
            yield switching_sample(camera, name, at)
