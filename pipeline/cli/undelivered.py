"""`moonwatch undelivered`: list, retry or drop events that a sink refused."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.tables import print_tables
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
    """What to do with undelivered events."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class _Listed:
    """An undelivered event, and its content if the store still has it."""

    entry: Undelivered
    event: Event | None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        said: dict[str, JsonValue] = asdict(self.entry)
        if self.event is not None:
            one = self.event
            said |= {"camera": one.camera, "rule": one.rule, "phase": one.phase, "at": one.at}
        return said


def undelivered(
    action: Annotated[
        UndeliveredAction, typer.Argument(help="List them, send them again, or drop them.")
    ],
    file: File,
    sinks: Annotated[
        list[str] | None, typer.Argument(metavar="[SINK]...", help="Only these sinks.")
    ] = None,
    overrides: Overrides = [],
    everything: Annotated[bool, typer.Option("--all", help="All sinks.")] = False,
    as_json: AsJson = False,
) -> None:
    """List, retry or drop events that a sink refused or missed."""
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    # Listing changes nothing, so it works with the store of any release.
    store = deployment.store.build_reader(SystemClock())
    try:
        if action is not UndeliveredAction.LIST:
            store.close()
            store = deployment.store.build(SystemClock())
        named = set(sinks or [])
        _check_names(named, {*store.undelivered_counts(), *deployment.sinks})
        if action is not UndeliveredAction.LIST and not (named or everything):
            raise ConfigError([Problem("", f"name the sinks to {action}, or use --all")])
        chosen = [one for one in _every_letter(store) if not named or one.sink in named]
        if action is UndeliveredAction.LIST:
            listed = [_Listed(entry, _event(store, entry)) for entry in chosen]
            _say(listed, deployment, as_json=as_json)
        elif action is UndeliveredAction.DROP:
            typer.echo(f"{store.discard(chosen)} dropped")
        else:
            _report(_sent_again(deployment, store, chosen))
    finally:
        store.close()


def _every_letter(store: Store) -> Iterator[Undelivered]:
    """All of them, page by page."""
    beyond: tuple[int, str] | None = None
    while page := store.undelivered(beyond=beyond):
        yield from page
        beyond = (page[-1].position, page[-1].sink)


def _check_names(named: Collection[str], known: Collection[str]) -> None:
    for name in sorted(named):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise ConfigError([Problem(f"sinks.{name}", f"there is no such sink{hint}")])


def _sent_again(
    deployment: Deployment, store: Store, entries: Sequence[Undelivered]
) -> list[Resent]:
    done = []
    for route, sink in routes_of(deployment, store, SystemClock()):
        own = [entry for entry in entries if entry.sink == route.sink]
        try:
            if own:
                done.append(resend(store, sink, own, route.at_once))
        finally:
            sink.close()
    dismissed = {entry.sink for entry in entries} - set(deployment.sinks)
    for name in sorted(dismissed):
        left = sum(entry.sink == name for entry in entries)
        done.append(Resent(name, left=left, trouble="the file no longer has this sink"))
    return done


def _report(done: Sequence[Resent]) -> None:
    for one in done:
        gone = f", {one.gone} dropped (their events are no longer in the store)" if one.gone else ""
        typer.echo(f"{one.sink}: {one.delivered} delivered{gone}")
    if not done:
        typer.echo("no undelivered events")
    troubles = [f"{one.sink}: {one.left} not delivered: {one.trouble}" for one in done if one.left]
    if troubles:
        raise MoonwatchError("; ".join(troubles))


def _event(store: Store, entry: Undelivered) -> Event | None:
    """The event at an entry's position; None if it is no longer in the store."""
    kept = store.outbox(entry.position - 1, 1)
    if not kept or kept[0].position != entry.position:
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
        groups.setdefault((one.entry.sink, one.entry.reason), []).append(one)
    for (sink, reason), group in groups.items():
        events = [one.event for one in group if one.event is not None]
        times = sorted((event.at, deployment.site_of(event.camera).timezone) for event in events)
        ends = [local_time(*times[0]), local_time(*times[-1])] if times else ["unknown"] * 2
        rules = ", ".join(sorted({f"{event.camera}.{event.rule}" for event in events}))
        attempts = str(sum(one.entry.attempts for one in group))
        # As text: a reason in square brackets is not markup.
        table.add_row(sink, str(len(group)), attempts, *ends, rules or "unknown", Text(reason))
    print_tables([table])
