"""`moonwatch notify`: try out sinks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem, SinkError
from pipeline.core.events import REPORT, Event, is_about_health
from pipeline.core.sinks import SinkContext
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.deployment.samples import samples_for
from pipeline.telemetry.logs import set_up

if TYPE_CHECKING:
    from connectors.sinks import SinkConfig

_TELLS = ("notify", "mail", "webhook", "mqtt")
# Whoever looks at them later would take what is made up for what has happened.
_KEEPS = ("redis_stream", "kafka", "nats", "archive", "jsonl", "csv")
_WITHOUT_LIMITS = {"at_most": None, "quiet": (), "retain": False}


class NotifyAction(StrEnum):
    """What to do with a sink."""

    TEST = "test"


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of a try."""

    sink: str
    accepted: bool | None
    """None where nothing was sent and nothing is wrong."""
    reason: str | None
    """Why it was not accepted, or not sent."""
    id: str | None
    """The id of the event that was sent."""
    said: str
    """The whole of it for people."""


def notify(
    action: Annotated[NotifyAction, typer.Argument(help="Send an event that was made up.")],
    file: File,
    sink: Annotated[
        str | None, typer.Argument(metavar="SINK", help="The sink; without one, all of them.")
    ] = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Send a made-up event with a picture to sinks of type notify, mail, webhook or mqtt.

    Where events are kept nothing is sent: such a sink is reached as far as that leaves no trace.
    Limits and quiet hours do not count, and nothing is noted: what a run sends is not affected.
    Exits with 0 if all was accepted or reached, and with 1 if not.
    """
    assert action is NotifyAction.TEST
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    if sink is None and not deployment.sinks:
        raise ConfigError([Problem("sinks", "there is no sink to try")])
    names = list(deployment.sinks) if sink is None else [sink]
    configs = {name: _config(deployment, name) for name in names}
    tried = [
        _try(config, deployment, name, is_asked=name == sink) for name, config in configs.items()
    ]
    if as_json:
        found = [
            {"sink": one.sink, "accepted": one.accepted, "reason": one.reason, "id": one.id}
            for one in tried
        ]
        typer.echo(json.dumps(found if sink is None else found[0], indent=2))
    else:
        for one in tried:
            failed = one.accepted is False
            typer.echo(f"{'moonwatch: ' if failed else ''}{one.sink}: {one.said}", err=failed)
    if any(one.accepted is False for one in tried):
        raise typer.Exit(1)


def _try(config: "SinkConfig", deployment: Deployment, name: str, *, is_asked: bool) -> _Tried:
    """Send to one sink, or reach it; ConfigError if the one that `is_asked` for gets nothing."""
    if config.type not in _TELLS:
        return _reach(config, deployment, name)
    try:
        event = _made_up(deployment, name)
    except ConfigError as error:
        if is_asked:
            raise
        why = error.problems[0].message
        return _Tried(name, None, why, None, f"nothing was sent: it {why}")
    trouble = _send(config, deployment, name, event)
    said = f"accepted a made-up event of {event.camera or event.type}.{event.rule} with a picture"
    return _Tried(name, trouble is None, trouble, event.record_id, trouble or said)


def _reach(config: "SinkConfig", deployment: Deployment, name: str) -> _Tried:
    """Reach a sink, and leave no trace there."""
    why = (
        "what is made up does not belong where events are kept"
        if config.type in _KEEPS
        else f"a sink of type {config.type} has no other side"
    )
    try:
        found = config.probe(_context(deployment, name))
    except SinkError as error:
        return _Tried(name, False, str(error), None, str(error))
    reached = f"{found}; nothing was sent" if found else "nothing was sent"
    return _Tried(name, None, why, None, f"{reached}: {why}")


def _config(deployment: Deployment, sink: str) -> "SinkConfig":
    """The sink's config; ConfigError where there is none, or it cannot be used here."""
    if sink not in deployment.sinks:
        close = get_close_matches(sink, deployment.sinks, n=1)
        known = ", ".join(deployment.sinks) or "none"
        hint = f"; did you mean {close[0]}?" if close else f"; there are {known}"
        raise ConfigError([Problem(f"sinks.{sink}", f"there is no such sink{hint}")])
    config = deployment.sinks[sink]
    lacks = list(getattr(config, "lacks", lambda: ())())
    if lacks:
        raise ConfigError([Problem(f"sinks.{sink}.{one.key}", one.message) for one in lacks])
    return config


def _made_up(deployment: Deployment, sink: str) -> Event:
    """An event such as the sink gets, now, with a picture."""
    now = SystemClock().now()

    def fit() -> Iterator[Event]:
        for one in samples_for(deployment, sink, now):
            if one.type != REPORT and not is_about_health(one):
                yield one

    event = next(fit(), None)
    if event is None:
        raise ConfigError(
            [
                Problem(
                    f"sinks.{sink}", "gets no events of rules: see its `only`, `not` and `phases`"
                )
            ]
        )
    # Under an id of its own: a server that knows what came twice takes none for the other.
    event = replace(event, id=f"test-{round(now * 1000)}")
    return event.with_media(f"{event.record_id}.jpg")


def _send(config: "SinkConfig", deployment: Deployment, name: str, event: Event) -> str | None:
    """Why it was not accepted; None if it was."""
    limits = {key: none for key, none in _WITHOUT_LIMITS.items() if hasattr(config, key)}
    try:
        built = config.model_copy(update=limits).build(_context(deployment, name))
        try:
            built.send([event])
        finally:
            built.close()
    except SinkError as error:
        return str(error)
    return None


def _context(deployment: Deployment, name: str) -> SinkContext:
    return SinkContext(
        deployment.site.name,
        deployment.site_names(),
        name,
        deployment.site.timezone,
        read=lambda _: _picture(),
        timezones=deployment.site_timezones(),
    )


def _picture() -> bytes:
    """A picture with a box and words on it."""
    import cv2
    import numpy as np

    pixels = np.full((360, 640, 3), (70, 50, 40), np.uint8)
    cv2.rectangle(pixels, (250, 90), (390, 330), (0, 200, 255), 3)
    for text, place, size in (("moonwatch", (30, 60), 1.4), ("this is a test", (30, 340), 0.9)):
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2)
    done, data = cv2.imencode(".jpg", pixels)
    assert done
    return data.tobytes()
