"""`moonwatch status`: what is alive, how far behind, and what is lost, asked from outside."""

import json
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.table import Table

from pipeline.app.commands.options import AsJson, File, Overrides
from pipeline.app.config import load
from pipeline.app.status import DeploymentStatus, status_of
from pipeline.core.clock import SystemClock
from pipeline.telemetry.logs import set_up


def status(file: File, overrides: Overrides = [], as_json: AsJson = False) -> None:
    """Say how a deployment does: processes, cameras, engines, sinks. Changes nothing."""
    deployment = load(file, overrides)
    # What is out of reach is part of the answer and need not be logged as well.
    set_up("text", "CRITICAL")
    found = status_of(deployment, SystemClock())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
        return
    console = Console()
    for table in _tables(found):
        console.print(table)
    for trouble in found.troubles:
        console.print(f"  {trouble}", style="red", markup=False, highlight=False, soft_wrap=True)
    if not found.troubles:
        console.print("all is well", style="green")


def _tables(found: DeploymentStatus) -> Iterator[Table]:
    if found.processes:
        table = _table("processes", "stage", "host", "pid", "up", "state")
        for one in found.processes:
            state = one.not_ready or ("standing by" if one.stands_by else "at work")
            table.add_row(one.stage, one.host, str(one.pid), f"{one.up_s:.0f} s", state)
        yield table
    yield _cameras(found)
    table = _table("engines", "engine", "waiting", "oldest")
    for name, engine in found.engines.items():
        table.add_row(name, _known(engine.waiting), _known(engine.oldest_s, " s"))
    yield table
    if found.sinks:
        table = _table("sinks", "sink", "behind", "dead letters", "state")
        for name, sink in found.sinks.items():
            table.add_row(
                name, _known(sink.behind), _known(sink.undelivered), sink.error or "no trouble"
            )
        yield table


def _cameras(found: DeploymentStatus) -> Table:
    table = _table(
        "cameras", "camera", "state", "lag", "sampled/s", "answered/s", "judged/s", "dropped"
    )
    for name, camera in found.cameras.items():
        dropped = camera.figures.dropped if camera.figures else {}
        table.add_row(
            name,
            camera.state or "unknown",
            _known(camera.lag_s, " s"),
            *(_known(camera.per_second.get(hop)) for hop in ("sampled", "answered", "judged")),
            ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "none",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _known(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:g}{unit}"
