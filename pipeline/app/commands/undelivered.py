"""`moonwatch undelivered`: events that a sink would not take; look, send again, or let go."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.app.build import routes_of
from pipeline.app.commands.options import AsJson, File, Overrides
from pipeline.app.config import load
from pipeline.app.deployment import Deployment
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.ports import Store, Undelivered
from pipeline.delivery import Resent, resend
from pipeline.telemetry.logs import set_up


class Action(StrEnum):
    """What is done with undelivered events."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


def undelivered(
    action: Annotated[Action, typer.Argument(help="Show them, send them again, or forget them.")],
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
    store = deployment.store.build(SystemClock())
    try:
        letters = store.undelivered()
        named = set(sinks or [])
        _check_names(named, {letter.sink for letter in letters} | set(deployment.sinks))
        if action is not Action.LIST and not (named or everything):
            raise ConfigError([Problem("", f"name the sinks to {action}, or --all")])
        chosen = [letter for letter in letters if not named or letter.sink in named]
        if action is Action.LIST:
            _say(chosen, as_json=as_json)
        elif action is Action.DROP:
            typer.echo(f"{store.settle(chosen)} forgotten")
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


def _say(letters: Sequence[Undelivered], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(letter) for letter in letters], indent=2))
        return
    if not letters:
        typer.echo("no undelivered events")
        return
    table = Table(title="undelivered events", title_justify="left", title_style="bold")
    for column in ("sink", "event", "attempts", "reason"):
        table.add_column(column)
    for one in letters:
        table.add_row(one.sink, one.record_id, str(one.attempts), one.reason)
    Console().print(table)
