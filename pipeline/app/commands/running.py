"""`moonwatch run`: all stages of a deployment in one process."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.app.commands.options import AsJson, File, LogFormatOption, Overrides, log_format
from pipeline.app.commands.working import stop_on_signals, work
from pipeline.app.config import load
from pipeline.app.run import Run
from pipeline.app.show import summary_tables
from pipeline.app.summary import Summary
from pipeline.core.errors import MoonwatchError
from pipeline.telemetry.logs import set_up


def run(
    file: File,
    overrides: Overrides = [],
    as_json: AsJson = False,
    logs: LogFormatOption = "text",
    record: Annotated[
        Path | None, typer.Option(help="Write what is tracked to this file, for `render`.")
    ] = None,
) -> None:
    """Run all stages of a deployment in this process; ends when all of its files have ended."""
    deployment = load(file, overrides)
    set_up(log_format(logs))
    stop = stop_on_signals()
    running = Run(deployment, record)
    summary = work(running, stop, quiet=as_json)
    _say(summary, as_json=as_json)
    if running.failure is not None:
        raise MoonwatchError(running.failure)
    if stop.is_set() and not as_json:
        typer.echo("stopped; run it again to go on where it was", err=True)


def _say(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary.as_json(), indent=2))
        return
    console = Console()
    for table in summary_tables(summary):
        console.print(table)
