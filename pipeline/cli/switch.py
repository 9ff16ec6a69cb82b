"""`moonwatch switch`: a rule tells events or not, from another limit on, until said otherwise."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.arm import By, author
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.switching import (
    ENABLED,
    MORE_THAN,
    RuleSwitch,
    SwitchBook,
    SwitchKey,
    SwitchTimes,
    SwitchValue,
)
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.suggestions import nearest
from pipeline.rules.base import RuleBase
from pipeline.rules.switched import file_limit, instead_of, limit_range, why_not
from pipeline.telemetry.logs import set_up


def switch(
    file: File,
    camera: Annotated[str, typer.Argument(metavar="CAMERA", help="The camera.")],
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule of the camera.")],
    overrides: Overrides = [],
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="It tells events, or none; it counts in both.")
    ] = None,
    more_than: Annotated[
        int | None, typer.Option(metavar="N", help="Its limit, until the file says another.")
    ] = None,
    as_file: Annotated[
        bool, typer.Option("--as-file", help="On, and with the limit of the file.")
    ] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Switch a rule on or off, or change its limit; without an option, show what holds.

    A rule that is off counts as before and tells no events. Nothing is restarted.
    """
    deployment = load(file, overrides)
    config = _found(deployment, camera, rule)
    wanted = dict(_wanted(config, on, more_than, as_file=as_file))
    who = author(by)
    set_up("text", "ERROR")
    clock = SystemClock()
    store = deployment.store.build(clock) if wanted else deployment.store.build_reader(clock)
    try:
        changes = [
            store.switch(camera, rule, key, value, who, instead_of=instead_of(config, key))
            for key, value in wanted.items()
        ]
        at = max((one.at for one in changes), default=clock.now() + EFFECTIVE_AFTER_S)
        was = deployment.cameras[camera].was
        holds = _holds(SwitchTimes(SwitchBook(store.switches), camera, rule, was), config, at)
    finally:
        store.close()
    zone = deployment.site_of(camera).timezone
    if as_json:
        typer.echo(json.dumps({"changes": [asdict(one) for one in changes], **holds}, indent=2))
        return
    for change in changes:
        typer.echo(_line(change, zone))
    if not changes:
        for line in _lines(camera, rule, holds):
            typer.echo(line)


def _found(deployment: Deployment, camera: str, rule: str) -> RuleBase:
    config = deployment.cameras.get(camera)
    if config is None:
        raise ConfigError([_unknown("CAMERA", "camera", camera, deployment.cameras)])
    if rule not in config.rules:
        raise ConfigError([_unknown("RULE", f"rule of camera {camera}", rule, config.rules)])
    return config.rules[rule]


def _unknown(place: str, what: str, name: str, known: Mapping[str, object]) -> Problem:
    close = nearest(name, known)
    hint = f"did you mean {close}?" if close else f"there are {', '.join(known) or 'none'}"
    return Problem(place, f"there is no {what} {name!r}; {hint}")


def _wanted(
    config: RuleBase, on: bool | None, more_than: int | None, *, as_file: bool
) -> Iterator[tuple[SwitchKey, SwitchValue]]:
    if as_file and (on is not None or more_than is not None):
        said = "the file says all of it; leave out --on, --off and --more-than"
        raise ConfigError([Problem("--as-file", said)])
    if more_than is not None:
        why = why_not(config, MORE_THAN, more_than)
        if why is not None:
            raise ConfigError([Problem("--more-than", why)])
    if on is not None or as_file:
        yield ENABLED, on is not False
    if more_than is not None or (as_file and limit_range(config) is not None):
        yield MORE_THAN, more_than


def _holds(times: SwitchTimes, config: RuleBase, at: float) -> dict[str, JsonValue]:
    """What holds at a moment, and of what is not as in the file since when and by whom."""
    times.book.refresh()
    limit = file_limit(config)
    holds: dict[str, JsonValue] = {"enabled": times.is_on(at)}
    by_hand = {"enabled": times.enabled(at)}
    if limit_range(config) is not None:
        holds |= {"more_than": times.more_than(at, limit), "file": limit}
        by_hand["more_than"] = times.limit(at, limit)
    said: dict[str, JsonValue] = {
        key: {"since": timestamp(change.at), "by": change.by}
        for key, change in by_hand.items()
        if change is not None
    }
    return {**holds, "by_hand": said}


def _line(change: RuleSwitch, timezone: str) -> str:
    what = "off" if change.value is False else "on"
    if change.key == MORE_THAN:
        what = f"more_than {'as in the file' if change.value is None else change.value}"
    since = local_time(change.at, timezone)
    return f"camera {change.camera}, rule {change.rule}: {what} from {since} on, by {change.by}"


def _lines(camera: str, rule: str, holds: Mapping[str, JsonValue]) -> Iterator[str]:
    by_hand = holds["by_hand"]
    assert isinstance(by_hand, dict)

    def told(key: str) -> str:
        one = by_hand.get(key)
        return f", since {one['since']} by {one['by']}" if isinstance(one, dict) else ""

    yield f"camera {camera}, rule {rule}: {'on' if holds['enabled'] else 'off'}{told('enabled')}"
    if "more_than" not in holds:
        return
    limit = "none" if holds["more_than"] is None else holds["more_than"]
    file = "none" if holds["file"] is None else holds["file"]
    other = f" (the file says {file})" if "more_than" in by_hand else ""
    yield f"camera {camera}, rule {rule}: more_than {limit}{told('more_than')}{other}"
