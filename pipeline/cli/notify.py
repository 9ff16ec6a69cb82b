"""`moonwatch notify`: try out a sink that tells people."""

import json
from collections.abc import Iterator
from dataclasses import replace
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

_TELL_PEOPLE = ("notify", "mail", "webhook")
_WITHOUT_LIMITS = {"at_most": None, "quiet": ()}


class NotifyAction(StrEnum):
    """What to do with a sink that tells people."""

    TEST = "test"


def notify(
    action: Annotated[NotifyAction, typer.Argument(help="Send an event that was made up.")],
    file: File,
    sink: Annotated[str, typer.Argument(metavar="SINK", help="The sink.")],
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Send a made-up event with a picture to a sink of type notify, mail or webhook.

    Limits and quiet hours do not count, and nothing is noted: what a run sends is not affected.
    Exits with 0 if it was accepted, and with 1 if not.
    """
    assert action is NotifyAction.TEST
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    config = _config(deployment, sink)
    event = _made_up(deployment, sink)
    trouble = _send(config, deployment, sink, event)
    if as_json:
        said = {"sink": sink, "accepted": trouble is None, "reason": trouble, "id": event.record_id}
        typer.echo(json.dumps(said, indent=2))
    elif trouble is None:
        typer.echo(
            f"{sink}: accepted a made-up event of {event.camera or event.type}.{event.rule} with a "
            "picture"
        )
    else:
        typer.echo(f"moonwatch: {sink}: {trouble}", err=True)
    if trouble is not None:
        raise typer.Exit(1)


def _config(deployment: Deployment, sink: str) -> "SinkConfig":
    """The sink's config; ConfigError where there is none, or none that tells people."""
    if sink not in deployment.sinks:
        close = get_close_matches(sink, deployment.sinks, n=1)
        known = ", ".join(deployment.sinks) or "none"
        hint = f"; did you mean {close[0]}?" if close else f"; there are {known}"
        raise ConfigError([Problem(f"sinks.{sink}", f"there is no such sink{hint}")])
    config = deployment.sinks[sink]
    if config.type not in _TELL_PEOPLE:
        raise ConfigError(
            [
                Problem(
                    f"sinks.{sink}",
                    f"is of type {config.type}, and what is made up does not belong where events "
                    f"are kept; it can be tried with sinks of type {', '.join(_TELL_PEOPLE)}",
                )
            ]
        )
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
    context = SinkContext(
        deployment.site.name,
        deployment.site_names(),
        name,
        deployment.site.timezone,
        read=lambda _: _picture(),
        timezones=deployment.site_timezones(),
    )
    try:
        built = config.model_copy(update=limits).build(context)
        try:
            built.send([event])
        finally:
            built.close()
    except SinkError as error:
        return str(error)
    return None


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
