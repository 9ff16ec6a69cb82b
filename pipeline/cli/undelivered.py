"""`moonwatch undelivered`: events that a sink would not take; look, send again, or let go."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.events import Event, JsonValue
from pipeline.core.local_time import local_time
from pipeline.core.store import Store, StoredEvent, Undelivered
from pipeline.delivery import Resent, resend
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import routes_of
from pipeline.telemetry.logs import set_up


class UndeliveredAction(StrEnum):
    """What is done with undelivered events."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class _Listed:
    """An undelivered event, with what the store still has of it."""

    letter: Undelivered
    event: Event | None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        said: dict[str, JsonValue] = asdict(self.letter)
        if self.event is not None:
            one = self.event
            said |= {"camera": one.camera, "rule": one.rule, "phase": one.phase, "at": one.at}
        return said


def undelivered(
    action: Annotated[
        UndeliveredAction, typer.Argument(help="Show them, send them again, or forget them.")
    ],
    file: File,
    sinks: Annotated[
        list[str] | None, typer.Argument(metavar="[SINK]...", help="Of which sinks.")
    ] = None,
    overrides: Overrides = [],
    everything: Annotated[bool, typer.Option("--all", help="Of all sinks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at the events that a sink refused or missed, send them again, or forget them."""
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    # Whoever only looks changes nothing, whichever release works on the store.
    store = deployment.store.build_reader(SystemClock())
    try:
        if action is not UndeliveredAction.LIST:
            store.close()
            store = deployment.store.build(SystemClock())
        letters = store.undelivered()
        named = set(sinks or [])
        _check_names(named, {letter.sink for letter in letters} | set(deployment.sinks))
        if action is not UndeliveredAction.LIST and not (named or everything):
            raise ConfigError([Problem("", f"name the sinks to {action}, or --all")])
        chosen = [letter for letter in letters if not named or letter.sink in named]
        if action is UndeliveredAction.LIST:
            listed = [_Listed(letter, _event(store, letter)) for letter in chosen]
            _say(listed, deployment, as_json=as_json)
        elif action is UndeliveredAction.DROP:
            typer.echo(f"{store.discard(chosen)} forgotten")
        else:
            _report(_sent_again(deployment, store, chosen))
    finally:
        store.close()


def _check_names(named: Collection[str], known: Collection[str]) -> None:
    for name in sorted(named):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise ConfigError([Problem(f"sinks.{name}", f"there is no such sink{hint}")])


def _sent_again(
    deployment: Deployment, store: Store, letters: Sequence[Undelivered]
) -> list[Resent]:
    done = []
    for route, sink in routes_of(deployment):
        own = [letter for letter in letters if letter.sink == route.sink]
        try:
            if own:
                done.append(resend(store, sink, own, route.at_once))
        finally:
            sink.close()
    dismissed = {letter.sink for letter in letters} - set(deployment.sinks)
    for name in sorted(dismissed):
        left = sum(letter.sink == name for letter in letters)
        done.append(Resent(name, left=left, trouble="the file has no such sink any more"))
    return done


def _report(done: Sequence[Resent]) -> None:
    for one in done:
        gone = f", {one.gone} forgotten (the store keeps their events no more)" if one.gone else ""
        typer.echo(f"{one.sink}: {one.delivered} delivered{gone}")
    if not done:
        typer.echo("no undelivered events")
    troubles = [f"{one.sink}: {one.left} not delivered: {one.trouble}" for one in done if one.left]
    if troubles:
        raise MoonwatchError("; ".join(troubles))


def _event(store: Store, letter: Undelivered) -> Event | None:
    """What is kept under a letter's position; the store may keep the event no more."""
    kept = store.outbox(letter.position - 1, 1)
    if not kept or kept[0].position != letter.position:
        return None
    return kept[0].event if isinstance(kept[0], StoredEvent) else None


def _say(listed: Sequence[_Listed], deployment: Deployment, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in listed], indent=2))
        return
    if not listed:
        typer.echo("no undelivered events")
        return
    table = Table(title="undelivered events", title_justify="left", title_style="bold")
    for column in ("sink", "events", "attempts", "first", "last", "rules", "reason"):
        table.add_column(column, overflow="fold")
    groups: dict[tuple[str, str], list[_Listed]] = {}
    for one in listed:
        groups.setdefault((one.letter.sink, one.letter.reason), []).append(one)
    for (sink, reason), group in groups.items():
        events = [one.event for one in group if one.event is not None]
        times = sorted((event.at, deployment.site_of(event.camera).timezone) for event in events)
        ends = [local_time(*times[0]), local_time(*times[-1])] if times else ["unknown"] * 2
        rules = ", ".join(sorted({f"{event.camera}.{event.rule}" for event in events}))
        attempts = str(sum(one.letter.attempts for one in group))
        # As text: a reason in square brackets is no markup.
        table.add_row(sink, str(len(group)), attempts, *ends, rules or "unknown", Text(reason))
    Console().print(table)
