"""`moonwatch simulate`: what a file would have counted, from what was seen."""

import gc
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pipeline.cli.moments import Since, Until, span_of
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.signals import stop_on_signals
from pipeline.core.arming import ArmingBook
from pipeline.core.clock import SystemClock
from pipeline.core.errors import MoonwatchError
from pipeline.core.events import JsonValue
from pipeline.core.switching import SwitchBook
from pipeline.deployment.loader import load
from pipeline.insight.simulation import (
    RuleHour,
    SimulatedHour,
    Simulation,
    SimulationScope,
    hour_as_json,
    rule_as_json,
    summed,
)
from pipeline.insight.simulation_lane import MOST_FOLLOWED
from pipeline.insight.simulation_workers import SimulationWorkers
from pipeline.telemetry.logs import set_up

_COLLECT_AFTER = 200_000


def simulate(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    camera: Annotated[
        list[str] | None, typer.Option(help="Of this camera alone; may be given again.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Of this rule alone; may be given again.")
    ] = None,
    since: Since = None,
    until: Until = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER.yaml",
            help="Compare with what this file would have counted, instead of what is stored.",
        ),
    ] = None,
    every_rule: Annotated[
        bool,
        typer.Option(
            "--every-rule",
            help="Judge again also the rules that are as they were, of which what is stored is "
            "taken otherwise: to see that they give the same.",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="How many processes judge an hour or more, each a stretch of it; one for each "
            "core, four at most, if it is not said.",
        ),
    ] = None,
) -> None:
    """Count again what was seen, by the rules of a file; the newest hour first.

    Another line, zone, limit or schedule answers for what is past, as far as what was seen is kept
    (`store.observations.keep`). Each hour is compared with what is stored. Stores nothing.
    """
    deployment = load(file, overrides)
    other = load(against, []) if against is not None else None
    clock = SystemClock()
    zone = deployment.site.timezone
    span = span_of(since, until, clock.now(), zone)
    set_up("text", "ERROR")
    # Thousands of frames are held and let go, none of them in a circle.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    store = deployment.store.build_reader()
    judges = SimulationWorkers(deployment.store, MOST_FOLLOWED, processes, ahead=False)
    try:
        stop = stop_on_signals()
        scope = SimulationScope(tuple(camera or ()), tuple(rule or ()), span)
        arming = ArmingBook(store.armings)
        arming.refresh()
        switches = SwitchBook(store.switches)
        switches.refresh()
        simulation = Simulation(
            deployment,
            store,
            store.history,
            scope,
            clock,
            against=other,
            arming=arming,
            switches=switches,
            every_rule=every_rule,
            stop=stop.is_set,
            help_of=judges if judges.count > 1 else None,
        )
        against_name = "stored" if against is None else "other"
        hours: list[SimulatedHour] = []
        for hour in simulation.hours():
            hours.append(hour)
            if as_json:
                typer.echo(json.dumps(hour_as_json(hour, zone, against_name)))
            else:
                for line in lines_of(hour, zone, against_name):
                    typer.echo(line)
    finally:
        judges.close()
        store.close()
    totals = summed(hours)
    counted = len({hour.since for hour in hours})
    if as_json:
        rows: list[JsonValue] = [
            {"camera": name, **rule_as_json(name, total, against_name, with_events=False)}
            for name, total in totals
        ]
        end = {"totals": rows, "hours": counted, "cut_short": simulation.cut_short}
        typer.echo(json.dumps(end))
    else:
        for name, total in totals:
            when = f"all {counted} hours" if counted != 1 else "the only hour"
            typer.echo(_line(when, name, total, against_name))
    if simulation.cut_short is not None:
        raise MoonwatchError(
            f"not all of it was counted: {simulation.cut_short}; the hours above are complete"
        )


def lines_of(hour: SimulatedHour, timezone: str, against: str) -> Iterator[str]:
    """One hour for people."""
    zone = ZoneInfo(timezone)
    began = datetime.fromtimestamp(hour.since, zone)
    when = f"{began:%Y-%m-%d %H:%M}"
    for rule in hour.rules:
        yield _line(when, hour.camera, rule, against)
    for rule in hour.rules:
        if rule.cut_off:
            since = datetime.fromtimestamp(min(rule.cut_off.values()), zone)
            number = _counted(len(rule.cut_off), "happening")
            yield (
                f"{when} {hour.camera}, {rule.rule}: {number} may have begun before "
                f"{since:%Y-%m-%d %H:%M:%S}, where it began to look"
            )
    for note in hour.notes:
        yield f"{when} {hour.camera}: {note}"
    if hour.running:
        yield f"{when} {hour.camera}: the last minute was not over"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _line(when: str, camera: str, rule: RuleHour, against: str) -> str:
    """`2026-11-26 17:00 door, sill: in 31 (stored 28), out 20; 3 events new; known 0:59:30`."""
    head = f"{when} {camera}, {rule.rule}: "
    if rule.unknown:
        return f"{head}unknown, {rule.unknown}"
    if rule.here is None:
        happened = rule.there.happenings if rule.there is not None else 0
        return f"{head}not in the file ({against}: {_counted(happened, 'event')})"
    said = []
    here, there = rule.values_of(camera, rule.here), rule.values_of(camera, rule.there)
    for column in rule.columns:
        shown, before = column.written(here.get(column.name)), None
        if rule.there is not None:
            before = column.written(there.get(column.name))
        compared = f" ({against} {before})" if before is not None and before != shown else ""
        said.append(f"{column.heading or column.name} {shown}{compared}")
    events = _counted(rule.here.happenings, "event")
    changes = [
        f"{_counted(len(found), 'record')} {what}"
        for found, what in ((rule.only_here, "new"), (rule.only_there, "gone"))
        if found and rule.there is not None
    ]
    if rule.here.events and len(rule.only_here) == len(rule.here.events) and rule.only_there:
        changes = [f"none as {against}"]
    said.append(f"{events} ({', '.join(changes)})" if changes else events)
    if rule.is_looked_at:
        looked_at = rule.here.looked_at.items()
        said += [f"{number} {what.replace('_', ' ')}" for what, number in looked_at if number]
    if rule.there is None:
        said.append(f"not {against}")
    if rule.is_sequence:
        return f"{head}{', '.join(said)}"
    known = timedelta(seconds=round(rule.here.known_s))
    return f"{head}{', '.join(said)}; known {known}"
